"""The latest values, in about a millisecond.

Not for history: ``historical`` joins that.
"""
