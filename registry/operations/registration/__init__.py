"""From definitions to stored drafts.

Not for reading definitions (``reading``) or reviewing them (``lifecycle``).
"""
