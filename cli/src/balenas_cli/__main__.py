"""``python -m balenas_cli``: the command where no script is on the path."""

from balenas_cli.main import main

if __name__ == "__main__":
    main()
