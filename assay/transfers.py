"""Training sets from file to file: bytes are streamed, so neither pandas nor pyarrow is needed.
Not for frames in memory; see reads.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from assay import shapes
from assay.calls import Calls
from assay.errors import Invalid, ServerError
from assay.historical import ARROW_STREAM, WARNINGS_HEADER, read_header
from assay.reads import HISTORICAL_TIMEOUT_SECONDS, selection
from assay.shapes import JSON, Features, Timing

CONTENT_TYPES = {
    ".parquet": "application/vnd.apache.parquet",
    ".csv": "text/csv",
    ".arrow": ARROW_STREAM,
    ".arrows": ARROW_STREAM,
}


class TransferCalls(Calls):
    """Calls whose answer is a file."""

    def write_historical_features(
        self,
        frame: shapes.Path,
        output: shapes.Path,
        features: Features = None,
        full_feature_names: bool = False,
        *,
        feature_service: str | None = None,
        timing: Timing = "known",
        explain: bool = False,
    ) -> list[str]:
        """Send the entity frame in one file, write the training set to another; give warnings.

        Suffixes choose the formats: .parquet, .csv or .arrow (an IPC stream). ``output`` is
        replaced only when the whole answer has arrived.
        """
        source, target = Path(frame), Path(output)
        headers = {"Content-Type": content_type(source), "Accept": content_type(target)}
        query: JSON = {
            **selection(features, feature_service),
            "full_feature_names": full_feature_names,
            "timing": timing,
            "explain": explain,
        }
        path = self._transport.project_path("get-historical-features")
        wait = HISTORICAL_TIMEOUT_SECONDS
        try:
            body = source.open("rb")
        except OSError as exc:
            raise Invalid(f"{source} cannot be read: {exc.strerror}", path=str(source)) from exc
        with (
            body,
            self._transport.download(
                path, query=query, body=body, headers=headers, read_timeout_seconds=wait
            ) as (answer, chunks),
        ):
            _check(answer.status, answer.content_type, headers["Accept"])
            _replace(target, chunks)
            return read_header(answer.headers, WARNINGS_HEADER)


def content_type(path: Path) -> str:
    """Give the media type that the suffix of ``path`` stands for."""
    found = CONTENT_TYPES.get(path.suffix.lower())
    if found is None:
        known = ", ".join(CONTENT_TYPES)
        raise Invalid(f"{path}: the suffix must be one of {known}", path=str(path))
    return found


def _check(status: int, received: str, wanted: str) -> None:
    if (status, received) != (200, wanted):
        message = f"the server answered {status} {received} where a file of {wanted} was asked for"
        raise ServerError(message, status=status)


def _replace(target: Path, chunks: Iterable[bytes]) -> None:
    """Write beside ``target`` and move over it, so that no half file is ever there."""
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as exc:
        raise Invalid(f"{target} cannot be written: {exc.strerror}", path=str(target)) from exc
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(chunks)
        part.chmod(0o666 & ~_umask())  # mkstemp makes it private; an output is an ordinary file
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
