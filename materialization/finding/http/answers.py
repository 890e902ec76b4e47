"""One answer of JSON, of any size: its rows as they are written, and single fields beside them.

The answer lies in a file and none of it becomes an object here. Not for what is in a row: the
sandbox reads that (``sources.json_rows``), which also finds what is no JSON inside of one.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, NoReturn

from lib.errors import did_you_mean
from materialization.sources.json_rows import MAX_OBJECT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from mmap import mmap

#: Lists and objects inside of each other, in one row.
MAX_NESTED = 100
#: Bytes of a field that says what the next page is.
_MAX_FIELD = 8_192
_STRING = rb'"(?:[^"\\\x00-\x1f]++|\\.)*+"'
_TOKEN = re.compile(rb"[ \t\r\n]*+(?:(" + _STRING + rb')|([][{},:])|([^][{},:"\s]++))')
_NESTING = re.compile(_STRING + rb'|[][{}"]')
_SPACES = re.compile(rb"[ \t\r\n]*+")
_LINES = bytes.maketrans(b"\r\n", b"  ")
_MARK = b"\xef\xbb\xbf"


class BadAnswer(ValueError):
    """It is no JSON, or not where its rows are said to be; the message says what it is."""


class CutOff(BadAnswer):
    """It ends before it is whole."""


class Answer:
    """``rows`` reads it, once, to its end; ``fields`` has those asked for, by place, after that.

    ``at`` is where the array of rows is, as names; ``wanted`` are the places of fields. ``watch``
    is called at each row and each field beside them, and ends it by what it raises.
    """

    def __init__(
        self,
        data: mmap,
        at: Sequence[str],
        wanted: Sequence[tuple[str, ...]] = (),
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self._watch = watch
        self._data, self._at, self._wanted = data, tuple(at), tuple(wanted)
        self._place = len(_MARK) if data[:3] == _MARK else 0
        self.fields: dict[tuple[str, ...], object] = {}
        self._has_rows = False
        self._known: list[str] = []

    def rows(self) -> Iterator[bytes]:
        """Yield each row as it is written, in one line.

        :raises BadAnswer, CutOff: as named.
        """
        yield from self._value(())
        if self._after_spaces() != len(self._data):
            raise BadAnswer("something follows its JSON")
        if not self._has_rows:
            name = ".".join(self._at)
            hint = did_you_mean(name, self._known)
            raise BadAnswer(f"has no {name!r} with rows.{hint}")

    def _next(self) -> bytes:
        found = _TOKEN.match(self._data, self._place)
        if found is None:
            at = self._after_spaces()
            if at == len(self._data) or self._data[at : at + 1] == b'"':
                raise CutOff("was cut off in the middle")
            self._refuse_broken()
        self._place = found.end()
        return found[1] or found[2] or found[3]

    def _after_spaces(self) -> int:
        found = _SPACES.match(self._data, self._place)
        return self._place if found is None else found.end()

    def _refuse_broken(self) -> NoReturn:
        raise BadAnswer(f"is no JSON, at its byte {self._place + 1:,}")

    def _expect(self, *tokens: bytes) -> bytes:
        token = self._next()
        if token not in tokens:
            self._refuse_broken()
        return token

    def _value(self, place: tuple[str, ...]) -> Iterator[bytes]:
        token = self._next()
        if token == b"[" and place == self._at:
            self._has_rows = True
            yield from self._items()
        elif token == b"{" and self._leads_on(place):
            yield from self._members(place)
        elif token in (b"[", b"{"):
            if place == self._at:
                raise BadAnswer(f"has no array of rows {self._words()}: an object is there")
            if place in self._wanted:
                raise BadAnswer(f"has no text and no number at {'.'.join(place)!r}")
            self._place = self._end_of(self._place - 1, MAX_OBJECT_BYTES << 4)
        elif place == self._at:
            if token != b"null":
                raise BadAnswer(f"has no array of rows {self._words()}")
            self._has_rows = True
        else:
            self._note(place, token)

    def _words(self) -> str:
        return f"at {'.'.join(self._at)!r}" if self._at else "as the whole of it"

    def _leads_on(self, place: tuple[str, ...]) -> bool:
        ends = (self._at, *self._wanted)
        return any(len(end) > len(place) and end[: len(place)] == place for end in ends)

    def _members(self, place: tuple[str, ...]) -> Iterator[bytes]:
        seen: set[tuple[str, ...]] = set()
        token = self._next()
        while token != b"}":
            self._watch()
            if token[:1] != b'"':
                self._refuse_broken()
            name = str(self._text(token))
            self._expect(b":")
            inner = (*place, name)
            if len(self._known) < 100:
                self._known.append(".".join(inner))
            if inner in seen:
                raise BadAnswer(f"has the key {name!r} twice; which one counts is not known")
            if self._leads_on(inner) or inner == self._at or inner in self._wanted:
                seen.add(inner)
            yield from self._value(inner)
            token = self._expect(b",", b"}")
            if token == b"," and (token := self._next()) == b"}":
                self._refuse_broken()

    def _items(self) -> Iterator[bytes]:
        token = self._next()
        if token == b"]":
            return
        while True:
            self._watch()
            if token != b"{":
                raise BadAnswer("has a row that is no object")
            begin = self._place - 1
            self._place = self._end_of(begin, MAX_OBJECT_BYTES)
            yield self._data[begin : self._place].translate(_LINES)
            if self._expect(b",", b"]") == b"]":
                return
            token = self._next()

    def _end_of(self, begin: int, most: int) -> int:
        """Return where what begins there ends."""
        depth = 0
        for found in _NESTING.finditer(self._data, begin):
            sign = found[0]
            if sign in (b"{", b"["):
                depth += 1
                if depth > MAX_NESTED:
                    raise BadAnswer(f"has lists or objects more than {MAX_NESTED} deep in a row")
            elif sign in (b"}", b"]"):
                depth -= 1
            elif sign == b'"':
                raise CutOff("was cut off in the middle, or has a text with a line end in it")
            if found.end() - begin > most:
                raise BadAnswer(f"has a row of more than {most:,} bytes")
            if depth == 0:
                return found.end()
        raise CutOff("was cut off in the middle")

    def _note(self, place: tuple[str, ...], token: bytes) -> None:
        if place in self._wanted:
            if len(token) > _MAX_FIELD:
                raise BadAnswer(f"has more than {_MAX_FIELD} bytes at {'.'.join(place)!r}")
            self.fields[place] = self._text(token)

    def _text(self, token: bytes) -> object:
        try:
            said: object = json.loads(token, parse_int=str, parse_float=str)
            str(said).encode()  # half of a character is none
        except ValueError:
            self._refuse_broken()
        return said
