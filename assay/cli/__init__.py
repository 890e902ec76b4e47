"""The ``assay`` command: one file a group of subcommands, ``app`` puts them together.
Not for talking to the server; every command is a call or two of FeatureStore.
"""

from __future__ import annotations

from assay.cli.app import main

__all__ = ["main"]
