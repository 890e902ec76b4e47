"""What features mean and who said so.

Not for turning definitions into data: ``materialization`` does.
"""
