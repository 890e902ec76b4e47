"""The kinds of refusal, each with a stable ``code``. [pure]

Not for HTTP or Celery: ``problem.py`` maps kinds to statuses, ``tasks.py`` retries ``Unavailable``.
Specific errors subclass a kind beside the code that raises them.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


#: What shows nothing by itself: control characters but line feed and tab, those that turn the
#: direction of text around, those without width, and letters that no font has.
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)


def printable(text: str) -> str:
    """Return a text with what nobody sees, and a terminal may obey, written as an escape.

    Messages quote names and values of others, and people read them on terminals.
    """
    return UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


#: What makes a terminal write in colours: it says nothing by itself.
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def said(error: BaseException) -> str:
    """Return what a library says of an error, in one line and without its colours."""
    return " ".join(_COLOURS.sub("", str(error)).replace("↳", ":").split()).replace(" : ", ": ")


#: Characters of a message, and of each text beside it: more than is read, less than does harm.
MESSAGE_LENGTH = 10_000
_LEFT_OUT = "…"


def _shortened(text: str) -> str:
    """Return a text with its middle left out where it is too long: the end says what to do."""
    if len(text) <= MESSAGE_LENGTH:
        return text
    end = MESSAGE_LENGTH // 4
    return f"{text[: MESSAGE_LENGTH - end - len(_LEFT_OUT)]}{_LEFT_OUT}{text[-end:]}"


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a value with every text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {_with_texts(key, change): _with_texts(v, change) for key, v in value.items()}
    return [_with_texts(item, change) for item in value] if isinstance(value, list) else value


class AssayError(Exception):
    """A refusal a caller can act on: the value received, what would be valid, the next step.

    ``example`` has what the message is about where that is a value of somebody's data. It stands in
    no message, answer, log or trail of itself: only doors that know who may read it show it.
    Of what a caller sent all of them repeat ``MESSAGE_LENGTH``: answers, logs and trail keep it.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, example: str = "", **data: Any) -> None:
        self.message = _shortened(printable(message))
        self.example = _shortened(printable(example))
        super().__init__(self.message)
        self.data: dict[str, Any] = _with_texts(data, _shortened)

    def __str__(self) -> str:
        return self.message

    def reword(self, change: Callable[[str], str]) -> None:
        """Change all that it says in place, for somebody who is told it in other words."""
        self.message, self.example = change(self.message), change(self.example)
        self.args = (self.message,)
        self.data = _with_texts(self.data, change)


class Invalid(AssayError):
    """The input cannot be right, whoever sends it."""

    code = "invalid"


class Unauthenticated(AssayError):
    """Nobody we know is asking: no token, a wrong one, an expired or a revoked one."""

    code = "unauthenticated"


class Forbidden(AssayError):
    """The caller is known and may not do this."""

    code = "forbidden"


class NotFound(AssayError):
    """There is no such thing, or the caller may not know that there is."""

    code = "not_found"


class Conflict(AssayError):
    """Right in another state: somebody was first, or something else comes before."""

    code = "conflict"


class Gone(AssayError):
    """It was here and has been retired on purpose."""

    code = "gone"


class TooLarge(AssayError):
    """The question is over a stated limit."""

    code = "too_large"


class TooOften(AssayError):
    """Right or wrong, it was asked too often; ``wait_seconds`` from now it may be asked again."""

    code = "too_often"

    def __init__(self, message: str, *, wait_seconds: int, **data: Any) -> None:
        super().__init__(message, **data)
        self.wait_seconds = wait_seconds


class QualityRejected(AssayError):
    """The data failed a blocking check; nothing was published."""

    code = "quality_rejected"


class Unavailable(AssayError):
    """A part we depend on does not answer now; the same request may succeed later."""

    code = "unavailable"


#: Names a message lists before it only counts them.
SHOWN = 20
#: Characters of a name or value that a message repeats.
SHOWN_LENGTH = 100


def nearest(
    value: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> str | None:
    """Return the known name that was most likely meant; None with nothing near.

    ``synonyms`` has what others call the known names: near in meaning, far in letters.
    """
    if len(value) > SHOWN_LENGTH:  # no name is as long, and each would be compared with all of it
        return None
    names = sorted(known)
    if synonyms and (other := synonyms.get(value.lower())) in names:
        return other
    near = get_close_matches(value, names, n=1, cutoff=0.6)
    return str(near[0]) if near else None


def did_you_mean(
    value: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None
) -> str:
    """Return `` Did you mean 'x'?`` or, with nothing near, the valid names; empty without any."""
    names = sorted(known)
    if alike := [name for name in names if name.lower() == value.lower() != ""]:
        return f" Did you mean {' or '.join(map(repr, alike[:SHOWN]))}?"
    if near := nearest(value, names, synonyms):
        return f" Did you mean {near!r}?"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" Valid: {', '.join(names[:SHOWN])}{more}." if names else ""
