"""Vectors that can be searched: the newest of each entity, and which of them are near one.

Not for whether somebody may see what is near, nor for values: a search reads those online.
"""
