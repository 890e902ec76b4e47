"""The media types in which frames, training sets, online answers and the trail travel. [pure]

Not for reading or writing them: each door knows how.
"""

from __future__ import annotations

JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
NDJSON = "application/x-ndjson"
