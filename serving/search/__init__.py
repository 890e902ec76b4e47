"""Searching: who is near a vector, and what is known of them now.

Not for finding candidates (``materialization.vectors``) or for values (the online read's way).
"""
