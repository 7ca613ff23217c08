"""What a plugin is, how it is declared, found and loaded; what the built-in ones declare.

What a plugin implements is in ``interfaces``. Nothing here imports torch.
"""
