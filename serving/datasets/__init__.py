"""Training sets that are kept: immutable, with a manifest, made and verified by workers.

Not for training sets that are answered at once: ``historical``.
"""
