"""What takes long: searches, trainings, scores and exports, with progress, signals and records.

What they print at the end is in ``tables``.
"""
