"""Rows that are pushed: which tables they go to, what each has to be, and taking them.

Not for what a sender writes (``serving.ingest``) or for the log they lie in (``stores.push_log``).
"""
