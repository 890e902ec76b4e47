"""What people say of why they do something, as the trail keeps it. [pure]

Not for what they are told where it cannot be kept: each act has an error and words of its own.
"""

from __future__ import annotations

#: Characters of a reason.
MAX_REASON = 2000


def is_kept(reason: str) -> bool:
    """Tell whether the trail can keep it: it says something, and no database refuses the text."""
    return 1 <= len(reason) <= MAX_REASON and "\x00" not in reason
