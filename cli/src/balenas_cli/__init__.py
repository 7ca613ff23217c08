"""The ``balenas`` command: a thin layer over ``balenas_core``."""
