"""Training sets from file to file: bytes are streamed, so neither pandas nor pyarrow is needed.
Not for frames in memory; see reads.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from assay import shapes
from assay.all_entities import AllEntities
from assay.asking import as_parameters, selection, whole_body
from assay.calls import Calls
from assay.encoding import to_json
from assay.entity_query import EntityQuery
from assay.errors import AssayError, Invalid, ServerError
from assay.files import content_type, opened_frame, replace_file
from assay.historical import WARNINGS_HEADER, read_header
from assay.progress import looking
from assay.reads import HISTORICAL_TIMEOUT_SECONDS
from assay.shapes import JSON, Features, NamedViews, Timing

# What the server may have against the frame itself, not against what was asked about it.
FRAME_PROBLEMS = {
    "invalid_entity_frame",
    "missing_entity_column",
    "invalid_entity_value",
    "too_many_rows",
    "body_too_large",
}


class TransferCalls(Calls):
    """Calls whose answer is a file."""

    def write_historical_features(
        self,
        frame: shapes.Path | AllEntities | EntityQuery,
        output: shapes.Path,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
        views: NamedViews = None,
    ) -> list[str]:
        """Send the entity frame in one file, write the training set to another; give warnings.

        Suffixes choose the formats: .parquet, .csv or .arrow (an IPC stream). ``output`` is
        replaced only when the whole answer has arrived. ``views``, and ``AllEntities`` or an
        ``EntityQuery`` in place of a frame, are as for ``get_historical_features``.

        :raises Invalid: a file cannot be read or written, or is no entity frame; names the file.
            Or ``AllEntities`` have a ``limit``: a file has all.
        """
        options: JSON = {
            **selection(features, feature_service),
            "full_feature_names": full_feature_names,
            "timing": timing,
            "explain": explain,
        }
        if isinstance(frame, AllEntities | EntityQuery):
            if isinstance(frame, AllEntities) and frame.limit is not None:
                message = "a file has the whole answer; read pages by get_historical_features"
                raise Invalid(message, limit=frame.limit)
            asked = io.BytesIO(to_json(whole_body(options, views, frame)))
            return self._to_file(Path(output), asked, kind="application/json", query={})
        source = Path(frame)
        query = {**options, **as_parameters(views)}
        kind = content_type(source)
        content_type(Path(output))  # is said before a file is opened
        with opened_frame(source) as body, _naming(source):
            return self._to_file(Path(output), body, kind=kind, query=query)

    def _to_file(self, target: Path, body: IO[bytes], *, kind: str, query: JSON) -> list[str]:
        headers = {"Content-Type": kind, "Accept": content_type(target)}
        path = self._transport.project_path("get-historical-features")
        wait = HISTORICAL_TIMEOUT_SECONDS
        with (
            looking(None, "the server joins features to the rows", str),
            self._transport.download(
                path, query=query, body=body, headers=headers, read_timeout_seconds=wait
            ) as (answer, chunks),
        ):
            _check(answer.status, answer.content_type, headers["Accept"])
            replace_file(target, chunks)
            return read_header(answer.headers, WARNINGS_HEADER)


@contextmanager
def _naming(source: Path) -> Iterator[None]:
    """Name the file in what the server says of its content, which it only knows as a body."""
    try:
        yield
    except AssayError as exc:
        if exc.code not in FRAME_PROBLEMS:
            raise
        message = exc.message.replace("the body", "it").replace(
            content_type(source), f"{source.suffix} file"
        )
        data = {**exc.data, "path": str(source)}
        raise type(exc)(f"{source}: {message}", code=exc.code, status=exc.status, **data) from exc


def _check(status: int, received: str, wanted: str) -> None:
    if (status, received) != (200, wanted):
        message = f"the server answered {status} {received} where a file of {wanted} was asked for"
        raise ServerError(message, status=status)
