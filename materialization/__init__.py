"""Turning definitions into data: runs that compute, check, store and load.

Not for what a definition means (``registry``) or for answering questions (``serving``).
"""
