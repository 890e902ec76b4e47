"""The offline store (Delta Lake) and the online store (Redis): they take a spec and give Arrow.

Not for models or runs: nothing here knows them.
"""
