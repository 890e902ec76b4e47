"""Where rows come from: what may be read of a source, and how.

Not for what a definition says of it: ``registry.spec.sources``.
"""
