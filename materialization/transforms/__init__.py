"""From a source's rows to the rows that are stored.

Not for reading sources (``sources``) or storing rows (``stores``).
"""
