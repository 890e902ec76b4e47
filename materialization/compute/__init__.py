"""The parent's side of computing: what is asked of the sandbox, and what it answers.

Not for what happens inside it: ``sandbox`` and ``transforms``.
"""
