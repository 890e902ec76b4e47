"""A training set that the server puts together, as a program has it: how far it is, and its rows.
Not for asking for one; see jobs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from assay import notebooks, shapes
from assay.errors import Gone, HistoricalJobFailed, Invalid, WaitTimedOut
from assay.extras import require
from assay.files import content_type, replace_file
from assay.frames import SentFrame
from assay.historical import RetrievalJob
from assay.progress import arriving, looking
from assay.resuming import proven
from assay.shapes import JSON, ArrowTable, DataFrame, PolarsFrame
from assay.waiting import OnProgress, Waiting

#: It is over, whichever way.
OVER = ("done", "failed", "cancelled", "ended")
PARQUET = "application/vnd.apache.parquet"


class Asking(Protocol):
    """The calls about one job."""

    def look(self) -> JSON: ...

    def cancel(self) -> JSON: ...

    def download(self) -> Iterator[bytes]: ...

    def pause(self, seconds: float) -> None: ...


class HistoricalJobFacts:
    """What was found when a job was last looked at; who is made of the same facts sees it too."""

    def __init__(self, found: JSON) -> None:
        self._found = found

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.id}, {self.status}: {self.progress})"

    def _repr_html_(self) -> str:
        said = {"job": self.id, "status": self.status, "progress": self.progress}
        return notebooks.facts({**said, "warnings": self.warnings})

    @property
    def id(self) -> int:
        return int(self._found["id"])

    @property
    def status(self) -> str:
        """``queued``, ``running``, or one of ``OVER``, when it was last looked at."""
        return str(self._found["status"])

    @property
    def progress(self) -> str:
        """How far it is, in words, when it was last looked at."""
        return str(self._found["progress"])

    @property
    def warnings(self) -> list[str]:
        """What the server thinks you should know, once it is done."""
        return list(self._found["warnings"])

    @property
    def explain(self) -> list[JSON]:
        """With ``explain=True``: for each view, on how many rows the two timings differ."""
        return list(self._found["explain"])

    def to_dict(self) -> JSON:
        """Give all that the server says of it, when it was last looked at."""
        return dict(self._found)


class HistoricalJob(HistoricalJobFacts):
    """One training set that is made by a worker of the server; ``id`` is its number there.

    ``to_df`` and ``to_arrow`` wait until it is made, and fetch its rows once.
    """

    def __init__(self, found: JSON, asking: Asking, *, frame: SentFrame | None = None) -> None:
        super().__init__(found)
        self._asking, self._frame = asking, frame
        self._result: RetrievalJob | None = None

    def refresh(self) -> HistoricalJob:
        """Look again how far it is."""
        return self._learn(self._asking.look())

    def wait(
        self, timeout_seconds: float | None = None, *, on_progress: OnProgress | None = None
    ) -> HistoricalJob:
        """Wait until it is made; ``on_progress`` gets what each look found.

        :raises HistoricalJobFailed: it could not be made; says why.
        :raises Gone: it was cancelled, or its file is removed.
        :raises WaitTimedOut: it takes longer than ``timeout_seconds``; it goes on being made.
        """
        wait = Waiting(timeout_seconds, pause=self._asking.pause)
        with looking(on_progress, self._name, lambda found: str(found["progress"])) as tell:
            while True:
                tell(self.to_dict())
                if self.status in OVER:
                    break
                if wait.is_over:
                    raise WaitTimedOut(f"{self._name} is {self.status}: {self.progress}")
                wait.pause()
                self.refresh()
        if self.status == "failed":
            message = f"historical job {self.id} could not be made: {self._found['error']}"
            raise HistoricalJobFailed(message, **self._found)
        if self.status != "done":
            raise Gone(f"historical job {self.id} {self.progress}")
        return self

    def cancel(self) -> HistoricalJob:
        """End it, and remove what it made.

        :raises Conflict: there is nothing of it any more.
        """
        return self._learn(self._asking.cancel())

    def _learn(self, found: JSON) -> HistoricalJob:
        self._found.clear()
        self._found.update(found)
        return self

    def to_arrow(self) -> ArrowTable:
        """Give the rows as a ``pyarrow.Table``. Needs the extra ``assay[pandas]``."""
        return self._fetched().to_arrow()

    def to_df(self) -> DataFrame:
        """Give the rows as a pandas frame; see ``RetrievalJob.to_df``."""
        return self._fetched().to_df()

    def to_polars(self) -> PolarsFrame:
        """Give the rows as a polars frame; see ``RetrievalJob.to_polars``."""
        require("polars", "HistoricalJob.to_polars")
        return self._fetched().to_polars()

    def write(self, output: shapes.Path) -> None:
        """Write the rows to a Parquet file, once all of them have arrived and are right.

        :raises Invalid: it is no ``.parquet``, or cannot be written.
        """
        require_parquet(output)
        with closing(self.chunks()) as chunks:  # type: ignore[type-var]
            replace_file(Path(output), self._arriving(chunks))

    def chunks(self) -> Iterator[bytes]:
        """Wait for it, and give its Parquet file piece by piece; the last one once all are right.

        A transfer that is cut goes on where it was.
        """
        self.wait()
        pieces = self._asking.download()
        return proven(pieces, self._found["sha256"], f"{self._name} is not the file it made")

    @property
    def _name(self) -> str:
        return f"historical job {self.id}"

    def _arriving(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        return arriving(chunks, self._name, self._found.get("size"))

    def _fetched(self) -> RetrievalJob:
        if self._result is None:
            parquet = require("pyarrow.parquet", "HistoricalJob.to_arrow")
            with tempfile.TemporaryFile() as file:
                file.writelines(self._arriving(self.chunks()))
                file.seek(0)
                table = parquet.read_table(file)
            metadata = {"warnings": self.warnings, "explain": self.explain}
            self._result = RetrievalJob.of_table(table, metadata, frame=self._frame)
        return self._result


def require_parquet(output: shapes.Path) -> None:
    """:raises Invalid: it is no Parquet file by its name."""
    if content_type(Path(output)) != PARQUET:
        raise Invalid(f"{output}: a job's rows are Parquet; call it .parquet", path=str(output))
