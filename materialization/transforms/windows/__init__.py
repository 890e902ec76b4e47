"""Windows as of any instant, over rows that are pushed: what is kept of a row, and what of those
that are kept a window makes.

Not for training sets (``aggregation.as_of``), which are made of the same rows in SQL.
"""
