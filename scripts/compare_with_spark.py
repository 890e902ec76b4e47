# ruff: noqa: S608 - names are those of a view's columns
"""Compare what Spark and DuckDB read of a view's files: ``compare_with_spark.py VIEW [START END]``.

For an environment with ``pyspark``, a Java that it runs on, ``duckdb`` and the client, whose
``ASSAY_URL``, ``ASSAY_PROJECT`` and ``ASSAY_TOKEN`` it reads. Not part of the tests: Spark weighs
more than all that they take. Ends with 1 where a row, or a value of one, differs.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from typing import Any

import duckdb
from pyspark.sql import SparkSession  # type: ignore[import-not-found, unused-ignore]

from assay import FeatureStore

#: How each engine says an instant, so that nobody's zone has a say, and a value that a driver turns
#: into an object of its own.
SPARK = {"timestamp": "unix_micros({0})", "text": "CAST({0} AS STRING)"}
DUCKDB = {"timestamp": "epoch_us({0})", "text": "CAST({0} AS VARCHAR)"}


def chosen(columns: dict[str, str], words: dict[str, str], quote: str) -> str:
    """Return the columns of a SELECT, each as both engines say it alike."""
    said = []
    for name, kind in columns.items():
        quoted = f"{quote}{name}{quote}"
        is_text = kind == "date" or kind.startswith("decimal")
        form = words.get("text" if is_text else kind, "{0}")
        said.append(f"{form.format(quoted)} AS {quoted}")
    return ", ".join(said)


def counted(rows: Any) -> Counter[str]:
    return Counter(repr([alike(value) for value in row]) for row in rows)


def alike(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        return bytes(value).hex()
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    return [alike(item) for item in value] if isinstance(value, list | tuple) else value


def main(view: str, *between: str) -> int:
    paths = FeatureStore().offline_paths(view, *between)
    where = f"WHERE event_timestamp BETWEEN '{between[0]}' AND '{between[1]}'" if between else ""
    options = {"spark.sql.session.timeZone": "UTC", "spark.ui.showConsoleProgress": "false"}
    spark = SparkSession.builder.config(map=options).getOrCreate()
    spark.read.parquet(*paths).createOrReplaceTempView("files")
    asked = f"SELECT {chosen(paths.columns, SPARK, '`')} FROM files {where}"
    theirs = counted(spark.sql(asked).collect())

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    asked = f"SELECT {chosen(paths.columns, DUCKDB, chr(34))} FROM read_parquet($paths) {where}"
    ours = counted(connection.execute(asked, {"paths": list(paths)}).fetchall())

    differ = (theirs - ours).total() + (ours - theirs).total()
    print(
        f"{view}@{paths.version}: {len(paths)} files, {paths.rows:,} rows in them; Spark read"
        f" {theirs.total():,}, DuckDB {ours.total():,}; {differ:,} differ"
    )
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
