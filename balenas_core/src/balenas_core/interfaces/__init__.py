"""What a plugin implements, and the values that it is handed and returns.

How a search uses them is in ``engine``; how plugins are found is in ``plugins``.
"""
