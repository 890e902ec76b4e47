"""What an aggregate function declares, and a call of one: the words every stage speaks. [pure]

Not for any function (``functions``) or kind of state (``states``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from materialization.transforms.aggregation.rounding import Staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from materialization.transforms.aggregation.arguments import Argument, Input, Taken
    from materialization.transforms.aggregation.exact_sums import Found

    #: Answers a query of one number; None for NULL.
    Ask = Callable[[str], int | None]


#: The column of a candidate that says when it is, in µs.
INSTANT = "t"


@dataclass(frozen=True)
class AggregateFunction:
    """One function, whole. NULL is never shown to it; NaN is a value, above all others.

    ``takes``: how its column is cast, or a refusal. ``state``: what is kept from tick to tick.
    ``finish``: the value where the window holds one, out of the state's columns: SQL, in layers
    where a step needs those before it.
    ``gives``: the value's DuckDB type; ``{}`` is the argument's. ``empty``: SQL of the value of a
    window that has emptied. ``parameters``: as a definition names them. ``compares``: which values
    are equal decides, by the engine's rules for their type. ``anyhow``: the same where
    rows may leave before older ones do; None: it never goes by that.
    """

    takes: Callable[[Input], Taken]
    state: State
    finish: Callable[[Call], str | Staged]
    gives: str = "{}"
    empty: str = "NULL"
    parameters: tuple[str, ...] = ()
    compares: bool = False
    anyhow: AggregateFunction | None = None


@dataclass(frozen=True)
class Call:
    """A function with its parameters over argument ``source`` in window number ``window``.

    ``counts_as`` is the first argument that has a value where it has one. ``length`` is that of the
    call's own window (µs); ``window`` is a longer one where what is inside follows from that.
    ``found`` is what the rows at hand decide about numbers that are split to be added.
    """

    number: int
    function: AggregateFunction
    parameters: Mapping[str, float]
    argument: Argument
    source: int
    window: int
    counts_as: int
    length: int
    found: Found | None = None

    @property
    def name(self) -> str:
        """The column of the state that is this call's alone."""
        return f"p{self.number}"

    @property
    def value(self) -> str:
        """The argument's column in the rows."""
        return f"a{self.source}"

    @property
    def shared(self) -> str:
        """What columns are named after that all calls over one argument and window share."""
        return f"s{self.source}_{self.window}"

    @property
    def is_inside(self) -> str:
        """True of a row that counts: in the window, and not NULL."""
        return f"w = {self.window} AND {self.value} IS NOT NULL"

    def holds_at(self, event: str) -> str:
        """Return SQL that is true at a candidate whose own window has not left ``event`` behind.

        It is of what ``window`` has inside then.
        """
        return f"{event} + {self.length} > {INSTANT}"

    @property
    def lane(self) -> int:
        """A number no window has, for stays that are not those of single rows; -1 is taken."""
        return -2 - self.number

    @property
    def type(self) -> str:
        """The DuckDB type of the value."""
        return self.function.gives.format(self.argument.type)

    @property
    def staged(self) -> Staged:
        """The value at one candidate tick, before its cast to the declared type."""
        function = self.function
        holds, made = function.state.holds(self), function.finish(self)
        value = made if isinstance(made, Staged) else Staged((), made)
        return value._replace(sql=f"CASE WHEN {holds} THEN {value.sql} ELSE {function.empty} END")


class Column(NamedTuple):
    """A column of ``running``.

    ``change``: an aggregate over what enters (``sign`` 1) and leaves (-1) at one tick.
    ``fold``: the aggregate, with ``{}`` for its argument, of the changes up to a tick.
    """

    change: str
    fold: str


class Amount(NamedTuple):
    """What a row adds to a total: SQL, and of a whole number how many bits it has at most."""

    sql: str
    bits: int | None = None


class State:
    """A kind of partial state, with what a function keeps in it; a kind overrides its stages."""

    @property
    def is_nested(self) -> bool:
        """Say whether what a window gives follows from what a longer one does, by ``holds_at``."""
        return False

    def splits(self, call: Call) -> bool:
        """Say whether numbers are added whose size has to be looked at first."""
        return False

    def prepared(self, call: Call) -> dict[str, str]:
        """Return columns that every row gets once, before it enters any window."""
        return {}

    def stays(self, call: Call) -> str | None:
        """Return a query of stays (kid, w, enter, leave) other than those of single rows."""
        return None

    def running(self, call: Call) -> dict[str, Column]:
        """Return the running totals to keep; equal names of several calls are one column."""
        return {}

    def amounts(self, call: Call) -> dict[str, Amount] | None:
        """Return totals of what is inside: name, and what a row adds; None: no totals do."""
        return None

    def tables(self, calls: Sequence[tuple[Call, Self]], ask: Ask) -> Iterator[tuple[str, str]]:
        """Yield tables to make once the candidates are known: name and query, each made at once.

        ``calls``: all calls that chose this kind, each with its own. ``ask`` answers a query of one
        number about what is made already. The last table has at most one row (kid, i, …) a
        candidate and is joined to them.
        """
        yield from ()

    def lookup(self, call: Call) -> str:
        """Return a join of the candidates with what the state's columns stand for."""
        return ""

    def holds(self, call: Call) -> str:
        """Return SQL that is true at a candidate whose window holds a value."""
        raise NotImplementedError
