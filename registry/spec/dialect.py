"""SQL as the engine reads it, and as it is written for it. [pure]

Not for what may be written (``row_sql``).
"""

from __future__ import annotations

from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.generators.duckdb import DuckDBGenerator

#: The name of ``Engine`` where SQL is read and written.
DIALECT = "engine"


def _log_sql(generator: DuckDBGenerator, node: exp.Log) -> str:
    """Write ``log2(a)`` as that: ``log(2, a)`` divides two logarithms, off in the last digit."""
    if node.expression is not None and node.this.name == "2":
        return generator.func("LOG2", node.expression)
    return generator.func("LOG", node.this, node.expression)


class Engine(DuckDB):
    """DuckDB's, but that what is written anew has the values of what was read."""

    class Generator(DuckDBGenerator):
        TRANSFORMS: ClassVar = {**DuckDBGenerator.TRANSFORMS, exp.Log: _log_sql}
