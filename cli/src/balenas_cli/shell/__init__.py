"""The border to the terminal: streams, exit codes, completion, options, names of runs.

What a single command does is not known here.
"""
