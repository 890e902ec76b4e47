"""Accounts: whose they are, how they come in, and where a word of theirs may be given.

Not for what they may do (``access``) or for changing them (``operations.people``).
"""
