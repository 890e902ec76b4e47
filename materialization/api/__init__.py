"""Runs over HTTP: translate, one call, translate.

Not for rules: ``requests`` has those.
"""
