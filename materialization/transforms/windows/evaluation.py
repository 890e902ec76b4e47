"""All windows of one entity as of an instant, made of the events that are kept of it. [pure]

Not for fetching events (``stores``), nor for what a function makes of values (``functions``).
"""

from __future__ import annotations

from bisect import bisect_right
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lib.json_floats import NOT_FINITE
from materialization.transforms.windows.functions import EMPTY, FUNCTIONS
from materialization.transforms.windows.inside import Inside, Partial, Values, order, partial_of
from materialization.transforms.windows.results import as_made, computable, stored

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from materialization.transforms.windows.arguments import WindowArguments, WindowDerived
    from materialization.transforms.windows.encoding import WindowEncoding

#: What stands before the arguments of a kept row: event (µs), how much later known, sequence.
LEADING = 3
_decode = msgspec.msgpack.Decoder(list[Partial]).decode
_encode = msgspec.msgpack.Encoder().encode


class _Run(NamedTuple):
    """Rows of hops that follow each other, oldest first.

    ``made``: by argument, the events of the rows that have it, and their values, cut where windows
    begin: each by the place of its first.
    """

    rows: list[Sequence[Any]]
    made: dict[int, tuple[list[int], list[tuple[int, Values]]]]


class EntityWindows:
    """What is kept of one entity as of ``now``: rows of some hops, what is known of others.

    ``rows`` are ``[event µs, lag µs, sequence, argument, …]`` by hop, all known by ``now``.
    ``known``: of hops that lie inside every window that reaches them, what ``summary`` gave.
    """

    def __init__(
        self,
        made_of: WindowArguments,
        rows: Mapping[int, Sequence[Sequence[Any]]],
        known: Mapping[int, bytes],
        *,
        now: int,
    ) -> None:
        self._made_of, self._now, self._rows = made_of, now, rows
        self._parts: list[tuple[int, list[Partial]] | _Run] = []
        run: list[Sequence[Any]] = []
        for hop in sorted({*rows, *known}):
            if hop in known:
                self._end(run)
                self._parts.append((hop, _decode(known[hop])))
                run = []
            else:
                run += self._there(rows[hop])
        self._end(run)

    def _there(self, rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
        """Return the rows that are there; of a bag, those that are not gone."""
        return [row for row in rows if row[-1]] if self._made_of.is_bag else rows

    def _end(self, run: list[Sequence[Any]]) -> None:
        if run:
            run.sort(key=itemgetter(0, 1))
            self._parts.append(_Run(run, {}))

    def features(
        self, *, hop: int, where: str, encodings: Sequence[WindowEncoding] = ()
    ) -> list[Any]:
        """Return the features, in the order of their names, as stored rows have them.

        ``hop`` is how long one is (µs); ``where`` says in errors whose values they are. Those that
        have one of the ``encodings`` are encoded.
        :raises WindowValueBeyond: a sum is no number of the feature's type.
        """
        inside: dict[tuple[int, int], Inside] = {}
        found = []
        for output in self._made_of.outputs:
            asked = output.argument, output.window
            if asked not in inside:
                inside[asked] = self._inside(*asked, hop)
            within, name = inside[asked], output.function
            made = FUNCTIONS[name](within, output.parameters) if within.count else EMPTY.get(name)
            found.append(stored(made, output.type, f"{where}:{output.feature}"))
        derived = self._made_of.derived
        computed = [self._derived(each, found, where) for each in derived] if derived else ()
        for each, value in zip(derived, computed, strict=True):
            found.insert(each.place, value)
        for encoding in encodings:
            found[encoding.place] = encoding.of(found[encoding.place], where)
        return found

    def _derived(self, asked: WindowDerived, found: Sequence[Any], where: str) -> Any:
        outputs = self._made_of.outputs
        given = [computable(found[place], outputs[place].type) for place in asked.inputs]
        value = asked.run((*given, self._now, []))
        return stored(as_made(value, asked.type), asked.type, f"{where}:{asked.feature}")

    def summary(self, number: int) -> bytes:
        """Return what windows need to know of a hop that lies inside them."""
        asked: dict[int, list[tuple[str, int]]] = {}
        for output in self._made_of.outputs:
            k = int(output.parameters.get("k", 1))
            asked.setdefault(output.argument, []).append((output.function, k))
        rows = sorted(self._there(self._rows[number]), key=itemgetter(0, 1))
        return _encode(
            [
                partial_of(self._values(rows, place)[1], each.type, asked[place])
                for place, each in enumerate(self._made_of.arguments)
            ]
        )

    def _inside(self, argument: int, window: int, hop: int) -> Inside:
        after, kind = self._now - window, self._made_of.arguments[argument].type
        pieces: list[Values | Partial] = []
        for part in self._parts:
            if isinstance(part, _Run):
                if argument not in part.made:
                    part.made[argument] = self._cut(*self._values(part.rows, argument))
                events, cut = part.made[argument]
                first = bisect_right(events, after)
                pieces += [values for place, values in cut if place >= first]
            elif part[0] * hop > after:
                pieces.append(part[1][argument])
        return Inside(pieces, kind)

    def _cut(self, events: list[int], values: Values) -> tuple[list[int], list[tuple[int, Values]]]:
        """Cut values where windows begin: what is made of a piece is made once for all of them."""
        begins = {bisect_right(events, self._now - window) for window in self._made_of.windows}
        places = sorted({0, *begins, len(events)})
        return events, [(first, values.within(first, end)) for first, end in pairwise(places)]

    def _values(self, rows: Sequence[Sequence[Any]], argument: int) -> tuple[list[int], Values]:
        """Return events and their values where there is one; those of one time in their order."""
        place, read = LEADING + argument, _READ.get(self._made_of.arguments[argument].type.kind)
        there = [row for row in rows if row[place] is not None]
        values = [row[place] for row in there]
        if read is not None:
            values = list(map(read, values))
        events = [row[0] for row in there]
        if len(set(events)) < len(events):
            keyed = [(row[:2], order(value)) for row, value in zip(there, values, strict=True)]
            places = sorted(range(len(keyed)), key=keyed.__getitem__)
            there, values = [there[at] for at in places], [values[at] for at in places]
        copies = [row[-1] for row in there] if self._made_of.is_bag else []
        return events, Values(values, copies if max(copies, default=1) > 1 else None)


def _number(value: Any) -> float:
    return NOT_FINITE[value] if type(value) is str else value


_READ: dict[str, Callable[[Any], Any]] = {
    "float32": _number,
    "float64": _number,
    "decimal": Decimal,
}
