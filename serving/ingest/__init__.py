"""Rows that programs send: ``POST push`` and ``POST write-to-online-store``."""
