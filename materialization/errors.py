"""Every refusal of the compute side, and its way through the sandbox's pipe. [pure]

Not for the kinds themselves: ``lib.errors`` has those.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lib.errors import AssayError, Invalid, TooLarge, Unavailable, did_you_mean
from lib.outages import OUTAGES

if TYPE_CHECKING:
    from collections.abc import Iterable


#: How the private directories are called in which the engine works.
TEMP_PREFIX = "assay-engine-"
#: Of directories with rows of other systems, which ``compute.staging`` calls as they are there.
STAGED_PREFIX = f"{TEMP_PREFIX}staged-"


#: What to do about what passes.
TRY_AGAIN = (
    "try again in a while, as runs do by themselves; if it stays so, ask whoever runs that system"
)


class SourceFileMissing(Invalid):
    code = "source_file_missing"


class SourceFileEmpty(Invalid):
    code = "source_file_empty"


class SourceOutsideRoots(Invalid):
    code = "source_outside_roots"


class SourceFileUnsupported(Invalid):
    code = "source_file_unsupported"


class SourceFolderUnreadable(Invalid):
    """The operating system refuses a folder that the path leads through."""

    code = "source_folder_unreadable"


class SourceFileUnreadable(Invalid):
    """The operating system refuses a file that is to be read."""

    code = "source_file_unreadable"


class SourceFileGone(Unavailable):
    """A file that was there when it was looked for, and is not when it is read: vacuumed, moved.

    The same job may succeed once it is looked for again.
    """

    code = "source_file_gone"

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path} was there a moment ago and is gone: it was vacuumed or moved while it was"
            " read. Nothing of what was read is stored, and a run is tried again; keep files that"
            " readers may have open (a longer retention of the vacuum).",
            path=path,
        )


class SourceFolderTooLarge(Invalid):
    """A pattern under which more names lie than one look may walk over."""

    code = "source_folder_too_large"


class SourceUnreadable(Invalid):
    """The file is there and is not what its name says."""

    code = "source_unreadable"


class SourceRefused(Invalid):
    """Another system refuses what a definition asks of it, or gives what nothing keeps.

    ``step`` says what to do, where the message does not.
    """

    code = "source_refused"

    def __init__(self, message: str, *, step: str = "", **data: Any) -> None:
        super().__init__(f"{message.rstrip('.')}; {step}." if step else message, **data)


class SourceUnavailable(Unavailable):
    """Another system does not answer, or stopped in the middle; nothing of it was taken.

    ``step`` says what to do where waiting is not it.
    """

    code = "source_unavailable"

    def __init__(self, message: str, *, step: str = TRY_AGAIN, **data: Any) -> None:
        super().__init__(f"{message.rstrip('.')}; {step}.", **data)


class SourceTooLarge(TooLarge):
    code = "source_too_large"


class SourceDrifted(Invalid):
    """The files no longer have the columns that the version took at submit."""

    code = "source_drifted"


class SourceValueInvalid(Invalid):
    """A value, or a whole column, that cannot become the declared type.

    ``hint`` says what else to do where correcting the value is not it.
    """

    code = "source_value_invalid"

    def __init__(self, message: str, *, hint: str = "", example: str = "", **data: Any) -> None:
        super().__init__(f"{message} {hint}" if hint else message, example=example, **data)


class RowSqlRefused(Invalid):
    """SQL that is not one SELECT, or that fails when it is bound to the source."""

    code = "row_sql_refused"


class RowSqlFailed(Invalid):
    """SQL with an expression that fails on a row of the source, or on any."""

    code = "row_sql_failed"


class SourceTrimmed(Invalid):
    """A source that has lost rows of its beginning, which a window without a bound still counts."""

    code = "source_trimmed"


class PythonRefused(Invalid):
    """A Python function that is not run here: not listed, not there, or nothing to hold it."""

    code = "python_refused"


class PythonChanged(Invalid):
    """What is installed is not the code that the version was submitted with."""

    code = "python_changed"


class PythonFailed(Invalid):
    """A Python function raised, was stopped, or gave what was not declared.

    ``limit`` says which was reached, if one was.
    """

    code = "python_failed"


class CheckUnusable(Invalid):
    """A check that is neither true nor false of a row but fails on it."""

    code = "check_unusable"


class UnknownColumn(Invalid):
    code = "unknown_column"

    def __init__(self, column: str, known: Iterable[str]) -> None:
        names = sorted(known)
        message = f"the source has no column {column!r}.{did_you_mean(column, names)}"
        super().__init__(message, column=column, known=names)


class MaskKeyMissing(Invalid):
    """A version has hashes whose key is not there: no others are made in their place."""

    code = "mask_key_missing"


class NotFitted(Invalid):
    """A version's encodings have no parameters: nothing is stored in their place."""

    code = "not_fitted"


class FitFailed(Invalid):
    """Nothing can be fitted to the rows of a range."""

    code = "fit_failed"


class EngineLimitExceeded(TooLarge):
    """A stated limit of time, memory or disk was reached; the job is over it, not unlucky."""

    code = "engine_limit_exceeded"


class TooManyTicks(TooLarge):
    code = "too_many_ticks"


class EngineStopped(Unavailable):
    """The child process ended without a word; the same job may succeed later."""

    code = "engine_stopped"


class NoTick(Invalid):
    """A schedule that names no instant at all, as the 30th of February does."""

    code = "no_tick"


#: A path into the directory that each child gets; see ``TEMP_PREFIX``.
_PRIVATE = re.compile(rf"(?:/[^\s/'\"]+)*/{TEMP_PREFIX}[^\s'\"]*")
CARRIED: tuple[type[AssayError], ...] = (
    SourceFileMissing,
    SourceFileEmpty,
    SourceOutsideRoots,
    SourceFileUnsupported,
    SourceFolderUnreadable,
    SourceFileUnreadable,
    SourceFileGone,
    SourceFolderTooLarge,
    SourceUnreadable,
    SourceDrifted,
    SourceTrimmed,
    SourceValueInvalid,
    RowSqlRefused,
    RowSqlFailed,
    PythonRefused,
    PythonChanged,
    PythonFailed,
    CheckUnusable,
    UnknownColumn,
    MaskKeyMissing,
    NotFitted,
    FitFailed,
    EngineLimitExceeded,
    TooManyTicks,
    NoTick,
    *OUTAGES,
)


def to_report(error: AssayError) -> dict[str, Any]:
    """Return what ``from_report`` needs to raise the same error in another process."""
    return {
        "code": error.code,
        "message": without_private_paths(error.message),
        "example": without_private_paths(error.example),
        "data": error.data,
    }


def placed(error: AssayError, place: str) -> AssayError:
    """Return the same error with the file, and what else is known of where, before its words."""
    if not place or error.message.startswith(place):
        return error
    return from_report({**to_report(error), "message": f"{place}: {error.message}"})


def without_example(error: AssayError) -> AssayError:
    """Return the same error without the value it is about."""
    return from_report({**to_report(error), "example": ""}) if error.example else error


def without_private_paths(message: str) -> str:
    """Return an engine's words without paths of its private directory.

    They say nothing to whoever reads them, and too much of the server. What was staged keeps its
    path for whoever staged it, and who has a better word for it.
    """
    return _PRIVATE.sub(lambda m: m[0] if STAGED_PREFIX in m[0] else "a temporary file", message)


def from_report(report: dict[str, Any]) -> AssayError:
    """Return the error a child reported; an unknown code becomes ``EngineStopped``."""
    kind = next((kind for kind in CARRIED if kind.code == report.get("code")), EngineStopped)
    error = kind.__new__(kind)
    said, example = str(report.get("message")), str(report.get("example", ""))
    AssayError.__init__(error, said, example=example, **report.get("data", {}))
    return error
