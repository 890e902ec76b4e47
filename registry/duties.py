"""What a sweep does for the registry, in order: an app above has the sweep.

Not for what each duty is: its own module says that.
"""

from __future__ import annotations

from registry import spreading
from registry.operations.lifecycle import after_glass

#: An end comes before the news, which tell of it.
DUTIES = (*after_glass.DUTIES, *spreading.DUTIES)
