"""From arguments, files and flags to what is to be done.

Nothing here runs it.
"""
