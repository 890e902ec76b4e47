"""The catalogue as people look through it: what it says of each feature, and finding some.

Not for which versions answer a read: ``registry.queries``.
"""
