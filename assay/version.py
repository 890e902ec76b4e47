"""The package's version, in a file that imports nothing: builds read it as a literal.
Not for versions of definitions.
"""

from __future__ import annotations

__version__ = "0.1.0"
