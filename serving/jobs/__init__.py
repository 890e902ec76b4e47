"""Training sets that are put together by a worker: asked for, watched, downloaded for some hours.

Not for those that are answered at once (``historical``) or kept to be proven (``datasets``).
"""
