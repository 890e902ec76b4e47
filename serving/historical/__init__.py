"""Training sets: what was known of each entity at each row's time.

Not for the latest values: ``online`` reads those.
"""
