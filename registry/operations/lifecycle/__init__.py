"""The steps of one version, from submit to retire.

Not for writing drafts: ``registration`` does.
"""
