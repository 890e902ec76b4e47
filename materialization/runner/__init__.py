"""What performs a run, from claim to end.

Not for deciding that one is due: ``requests`` does.
"""
