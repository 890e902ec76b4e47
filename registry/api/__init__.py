"""The registry over HTTP: translate, one call, translate.

Not for rules: ``operations`` have those.
"""
