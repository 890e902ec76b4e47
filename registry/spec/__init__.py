"""Definitions as frozen values: what they hold, how they differ, what they mean. [pure]

Not for reading text (``reading``) or storing anything.
"""
