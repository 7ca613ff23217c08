"""What is typed: each command with its arguments and its help, and one call down.

What the arguments come to is in ``plans``, what is done then in ``jobs``.
"""
