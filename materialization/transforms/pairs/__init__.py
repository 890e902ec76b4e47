"""For each pair of a source's type and a declared one: the cast, and where it would change a value.

Not for errors or lists (``casts``). A pair is ``value``, the cast, and ``bad``, SQL that is true
where the declared type does not hold the source's value; None where it holds them all.
"""
