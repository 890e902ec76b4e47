"""Whether the stores say the same: the online rows against the stored ones.

Not for asking for a comparison or keeping what it found: ``requests.certificates`` and
``runner.certifying`` do.
"""
