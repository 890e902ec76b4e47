"""The latest values as text for a prompt.

Not for reading them: ``online`` does, with its rights and its trail.
"""
