"""Views whose features a Python function of an installed distribution makes, row by row.

Not for the process that runs it (``materialization.confined``).
"""
