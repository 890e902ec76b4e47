"""Imports the libraries that only an extra installs, at the moment they are needed.
Not for libraries that the package depends on.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from assay.errors import MissingExtra

#: What to write in place of a type that Arrow does not have, such as Polars' Int128.
OTHER_TYPES = "Write it as int64, as a decimal of at most 38 digits, or as text."
#: What another extra than ``pandas`` installs.
EXTRAS = {
    "yaml": "yaml",
    "greenlet": "async",
    "httpx2": "async",
    "polars": "polars",
    "mcp": "mcp",
}


def require(module: str, purpose: str) -> Any:
    """Import and return ``module``.

    :raises MissingExtra: it is not installed; names the extra and what needed it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as exc:
        extra = EXTRAS.get(module, "pandas")
        message = f"{purpose} needs {module}; install it with: pip install 'assay[{extra}]'"
        raise MissingExtra(message, module=module, extra=extra) from exc


def has_arrow() -> bool:
    return importlib.util.find_spec("pyarrow") is not None
