"""A search from its configuration to its result: learning, choosing, and the events it sends.

What stands on the disk is in ``runs``; how candidates are ranked is in ``selectors``.
"""
