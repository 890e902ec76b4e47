"""Uploaded frames to Arrow, decoded in a process of their own within stated limits.

Not for what happens there (``decode``) nor for what a frame must have (``entity_frame``).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.ipc

from lib.errors import SHOWN_LENGTH, TooLarge
from serving.historical.plain_columns import first_line
from serving.historical.typed_columns import BadEntityFrame

if TYPE_CHECKING:
    from serving.limits import ReadLimits, TooManyRows

_DECODE = Path(__file__).with_name("decode.py")
_SECONDS = 120.0


class FrameTooLarge(TooLarge):
    code = "entity_frame_too_large"


def too_many_rows(count: int, limits: ReadLimits) -> TooManyRows:
    return limits.too_many_rows(f"the entity frame has {count} rows")


def decode_upload(body: bytes, media_type: str, limits: ReadLimits) -> pa.Table:
    """Return an upload as the table it decodes to; text columns of CSV stay text.

    :raises BadEntityFrame: damaged, or another format than ``media_type`` says.
    :raises TooManyRows, TooManyColumns, FrameTooLarge: over ``limits``, told before it is decoded
        where the file says so itself.
    """
    with tempfile.TemporaryFile() as sent, tempfile.NamedTemporaryFile() as decoded:
        sent.write(body)
        sent.seek(0)
        report = _run(media_type, limits, sent, decoded)
        _raise_for(report, media_type, limits)
        # Mapped, the columns take memory only while they are looked at.
        with pa.ipc.open_stream(pa.memory_map(decoded.name)) as stream:
            return stream.read_all()


def _run(
    media_type: str, limits: ReadLimits, sent: IO[bytes], decoded: IO[bytes]
) -> dict[str, Any]:
    """Run the child; return its report, that of the memory where it died of it."""
    numbers = map(str, (limits.rows, limits.columns, limits.decoded_bytes))
    command = [sys.executable, "-I", str(_DECODE), media_type, *numbers]
    try:
        done = subprocess.run(  # noqa: S603 - our interpreter, our file
            command,
            stdin=sent,
            stdout=decoded,
            stderr=subprocess.PIPE,
            env={},
            timeout=_SECONDS,
            check=False,
        )
        return dict(msgspec.json.decode(done.stderr))
    except subprocess.TimeoutExpired as exc:
        raise FrameTooLarge(
            f"the entity frame takes longer than {_SECONDS:.0f} seconds to decode. Split it."
        ) from exc
    except msgspec.DecodeError:
        if done.returncode >= 0:
            raise  # it said something else than a report: the mistake is ours
        return {"limit": "decoded_bytes"}  # it died of its limit, without a word


def _raise_for(report: dict[str, Any], media_type: str, limits: ReadLimits) -> None:
    limit, found = report.get("limit"), report.get("found")
    if "unreadable" in report:
        reason = first_line(ValueError(report["unreadable"]))
        raise BadEntityFrame(f"the body is not a readable {media_type}: {reason}.")
    if kind := report.get("unknown"):
        raise BadEntityFrame(
            f"column {report['column'][:SHOWN_LENGTH]!r} is of the Arrow extension type"
            f" {kind[:SHOWN_LENGTH]!r}: what its stored values mean is known to its writer alone."
            " Write them as numbers, text, times or lists."
        )
    if limit == "rows" and found:
        raise too_many_rows(found, limits)
    if limit == "columns" and found:
        limits.check_columns(found)
    if limit == "depth":
        raise BadEntityFrame("the entity frame has columns nested deeper than 32 levels.")
    if limit:
        most = limits.decoded_bytes
        raise FrameTooLarge(
            f"the entity frame decodes to more than {most} bytes (HISTORICAL_MAX_DECODED_BYTES)."
            " Split it, or leave out wide columns.",
            limit=most,
            setting="HISTORICAL_MAX_DECODED_BYTES",
        )
