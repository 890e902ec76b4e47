"""Answering questions: the latest values, and training sets.

Not for what is stored (``materialization``) or what it means (``registry``).
"""
