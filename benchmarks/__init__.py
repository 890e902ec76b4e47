"""Each script answers one question of speed against a floor and, where it is installed, Feast."""

from __future__ import annotations
