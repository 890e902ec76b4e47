"""The kinds of partial state: how a value is kept from tick to tick, and its stages' SQL.

Not for what a function keeps in one: ``functions`` has one declarative object each.
"""
