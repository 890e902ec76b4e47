"""What may be read of a source now, said by the parent, which has the credentials.

Not for reading it: ``sources`` is what the sandbox imports, and leads to no store or client of one.
"""
