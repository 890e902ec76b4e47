"""The audit trail as it is read: searched, exported, told in words, and held against the tables.

Not for writing it: ``registry.audit`` alone does.
"""
