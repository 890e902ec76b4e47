"""Accounts, roles, tokens and projects: who may do what.

Not for what a role may do: ``access`` says that.
"""
