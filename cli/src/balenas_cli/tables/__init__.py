"""What is shown: facts as rows, rows as tables and plots.

Nothing here computes what it shows.
"""
