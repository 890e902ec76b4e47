"""Training sets from file to file: bytes are streamed, so neither pandas nor pyarrow is needed.
Not for frames in memory; see reads.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from assay import shapes
from assay.all_entities import AllEntities
from assay.calls import Calls
from assay.encoding import to_json
from assay.errors import AssayError, Invalid, ServerError, why_unreadable
from assay.historical import ARROW_STREAM, WARNINGS_HEADER, read_header
from assay.reads import HISTORICAL_TIMEOUT_SECONDS, as_parameters, selection, whole_body
from assay.shapes import JSON, Features, NamedViews, Timing

CONTENT_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".arrow": ARROW_STREAM,
    ".arrows": ARROW_STREAM,
}
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
        frame: shapes.Path | AllEntities,
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
        replaced only when the whole answer has arrived. ``views``, and ``AllEntities``
        in place of a frame, are as for ``get_historical_features``.

        :raises Invalid: a file cannot be read or written, or is no entity frame; names the file.
            Or ``AllEntities`` have a ``limit``: a file has all.
        """
        options: JSON = {
            **selection(features, feature_service),
            "full_feature_names": full_feature_names,
            "timing": timing,
            "explain": explain,
        }
        if isinstance(frame, AllEntities):
            if frame.limit is not None:
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
        with self._transport.download(
            path, query=query, body=body, headers=headers, read_timeout_seconds=wait
        ) as (answer, chunks):
            _check(answer.status, answer.content_type, headers["Accept"])
            replace_file(target, chunks)
            return read_header(answer.headers, WARNINGS_HEADER)


def content_type(path: Path) -> str:
    """Give the media type that the suffix of ``path`` stands for."""
    found = CONTENT_TYPES.get(path.suffix.lower())
    if found is None:
        known = ", ".join(CONTENT_TYPES)
        raise Invalid(f"{path}: the suffix must be one of {known}", path=str(path))
    return found


def opened_frame(source: Path) -> IO[bytes]:
    try:
        body = source.open("rb")
    except OSError as exc:
        message = f"{source} cannot be read: {why_unreadable(exc)}"
        raise Invalid(message, path=str(source)) from exc
    if not os.fstat(body.fileno()).st_size:
        body.close()
        message = f"{source} is empty; an entity frame has columns: join keys and event_timestamp"
        raise Invalid(message, path=str(source))
    return body


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


def replace_file(target: Path, chunks: Iterable[bytes]) -> None:
    """Write beside ``target`` and move over it, so that no half file is ever there."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as exc:
        raise _unwritable(target, exc) from exc
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
        part.chmod(0o666 & ~_umask())  # mkstemp makes it private; an output is an ordinary file
        part.replace(target)
    except BaseException as exc:
        part.unlink(missing_ok=True)
        if isinstance(exc, OSError):
            raise _unwritable(target, exc) from exc
        raise


def _unwritable(target: Path, exc: OSError) -> Invalid:
    return Invalid(f"{target} cannot be written: {why_unreadable(exc)}", path=str(target))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
