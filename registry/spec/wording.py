"""How values of a definition read: short, without quotes and brackets. [pure]"""

from __future__ import annotations

from math import isfinite
from typing import Any


def brief(value: Any) -> str:
    """Write a value for comparing at a glance: one line a part, without quotes and brackets."""
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_inline(part)}" for key, part in value.items())
    if isinstance(value, list) and any(isinstance(part, (dict, list)) for part in value):
        return "\n".join(f"- {_inline(part)}" for part in value)
    return _inline(value)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key} {_inline(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(_inline, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return repr(value) if isinstance(value, float) and value % 1 else _plain(value)


def _plain(value: Any) -> str:
    """Write a whole float without its point, all of its digits."""
    return f"{value:.0f}" if isinstance(value, float) and isfinite(value) else str(value)
