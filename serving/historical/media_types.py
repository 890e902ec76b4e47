"""The media types of entity frames and training sets. [pure]

Not for reading or writing them: ``forms`` and ``answers`` do.
"""

from __future__ import annotations

JSON = "application/json"
PARQUET = "application/vnd.apache.parquet"
ARROW = "application/vnd.apache.arrow.stream"
CSV = "text/csv"
