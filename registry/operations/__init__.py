"""Everything that changes the registry, each change with its right and its audit entry.

Not for reading: ``queries`` does.
"""
