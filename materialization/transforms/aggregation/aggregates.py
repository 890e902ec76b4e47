"""What a view's aggregations ask for: arguments, windows, calls of functions, and features. [pure]

Not for any function (``functions``), nor for the stages that compute them (``stages``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from lib.instants import MICROSECOND
from materialization.transforms.aggregation.arguments import (
    Argument,
    Input,
    Taken,
    only_where,
    refuse_unlike_its_text,
)
from materialization.transforms.aggregation.conditions import truth_columns
from materialization.transforms.aggregation.function import AggregateFunction, Call, State
from materialization.transforms.aggregation.functions import FUNCTIONS
from materialization.transforms.base import require
from registry.choices import Accuracy
from registry.spec.aggregate_functions import function_name, parameters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from materialization.transforms.aggregation.exact_sums import Found
    from materialization.transforms.casts import Cast
    from registry.spec.aggregations import AggregateOutput
    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec


#: An ordinary call has fewer totals. Of more each is added to the others in steps of its own, and
#: each step carries all, so that what a query takes grows with the square of their number.
_MANY_TOTALS = 6
#: Totals that run together, of all calls: the engine sets memory aside for each beside each other
#: one, whatever the rows are. 40 were measured to take 220 MB, 80 more than a gigabyte.
_MOST_TOTALS = 40


class Output(NamedTuple):
    """One feature, its number among those of the view, and that of the call that makes it."""

    feature: FeatureSpec
    number: int
    call: int


class Aggregates(NamedTuple):
    """``windows`` ascend; several features may read one call, several calls one argument."""

    arguments: list[Argument]
    windows: list[timedelta]
    calls: list[Call]
    outputs: list[Output]

    @property
    def split_arguments(self) -> list[int]:
        """Return the arguments whose numbers are split before they are added."""
        return sorted({c.source for c in self.calls if c.function.state.splits(c)})

    def with_found(self, facts: Mapping[int, Found]) -> Aggregates:
        """Return the same with what the rows decide about the split arguments."""
        calls = [replace(call, found=facts.get(call.source)) for call in self.calls]
        return self._replace(calls=calls)

    def nested(self) -> Aggregates:
        """Return the same, where one pass over the longest window serves all that are nested."""
        longest: dict[tuple[int, State], int] = {}
        for call in self.calls:
            if call.function.state.is_nested:
                kind = call.source, call.function.state
                longest[kind] = max(call.window, longest.get(kind, 0))
        calls = [
            replace(call, window=longest.get((call.source, call.function.state), call.window))
            for call in self.calls
        ]
        return self._replace(calls=calls)

    def in_parts(self, size: int) -> list[Aggregates]:
        """Return the same calls and outputs, at most so many calls together; fewer where they add
        up very many totals, as of squares of the least and the greatest doubles.

        Those over one argument and window are neighbours: they share totals.
        """
        parts: list[set[int]] = [set()]
        room, totals = size, set[str]()
        for call in sorted(self.calls, key=lambda call: (call.source, call.window)):
            state = call.function.state
            weight = 1 + (len(state.amounts(call) or ()) // _MANY_TOTALS) ** 2
            own = state.running(call).keys()
            if parts[-1] and (weight > room or len(totals | own) > _MOST_TOTALS):
                parts.append(set())
                room, totals = size, set()
            parts[-1].add(call.number)
            room, totals = room - weight, totals | own
        return [self.of(part) for part in parts if part]

    def of(self, numbers: set[int]) -> Aggregates:
        """Return the calls of these numbers and what they put out, over the same arguments."""
        calls = [call for call in self.calls if call.number in numbers]
        outputs = [output for output in self.outputs if output.call in numbers]
        return self._replace(calls=calls, outputs=outputs)

    def by_kind(self) -> list[list[tuple[Call, State]]]:
        """Return the calls of each kind of state together, each with its own."""
        kinds: dict[type[State], list[tuple[Call, State]]] = {}
        for call in self.calls:
            state = call.function.state
            kinds.setdefault(type(state), []).append((call, state))
        return list(kinds.values())


def read_aggregates(spec: VersionSpec, columns: Mapping[str, str]) -> Aggregates:
    """Return what the features ask for; outputs that no feature takes are left out.

    :raises UnknownColumn: an aggregated column the source does not have.
    :raises SourceValueInvalid: a column whose type the function cannot take.
    """
    named = spec.view.aggregate_outputs()
    taking = [(n, each.unencoded) for n, each in enumerate(spec.features) if each.sql is None]
    windows = sorted({named[feature.source_column].window for _, feature in taking})
    arguments: dict[Argument, int] = {}
    alike: dict[str, int] = {}
    calls: dict[tuple[str, int, int], Call] = {}
    outputs = []
    for number, feature in taking:
        output = named[feature.source_column]
        chosen = output.function
        function, taken = _taken(output, feature, spec, columns)
        source = arguments.setdefault(taken.argument, len(arguments))
        window = windows.index(output.window)
        counts_as = alike.setdefault(taken.argument.null_as, source)
        call = Call(
            len(calls),
            function,
            parameters(chosen),
            taken.argument,
            source,
            window,
            counts_as,
            output.window // MICROSECOND,
        )
        call = calls.setdefault((str(chosen), source, window), call)
        outputs.append(Output(feature, number, call.number))
    return Aggregates(list(arguments), windows, list(calls.values()), outputs)


def argument_cast(
    output: AggregateOutput, feature: FeatureSpec, spec: VersionSpec, columns: Mapping[str, str]
) -> Cast | None:
    """Return the cast an aggregated column goes through; None when it is taken as it is.

    :raises UnknownColumn: a column the source does not have.
    :raises SourceValueInvalid: a column whose type the function cannot take, or a feature whose
        type the function cannot give.
    """
    return _taken(output, feature, spec, columns)[1].cast


def argument_of(
    output: AggregateOutput, feature: FeatureSpec, spec: VersionSpec, columns: Mapping[str, str]
) -> Argument:
    """Return what a function aggregates.

    :raises UnknownColumn, SourceValueInvalid: as ``argument_cast``.
    """
    return _taken(output, feature, spec, columns)[1].argument


def _taken(
    output: AggregateOutput, feature: FeatureSpec, spec: VersionSpec, columns: Mapping[str, str]
) -> tuple[AggregateFunction, Taken]:
    function = FUNCTIONS[function_name(output.function)]
    given = Input(output.column, require(output.column, columns), feature)
    if function.compares and spec.view.accuracy is not Accuracy.SNAPSHOT:
        refuse_unlike_its_text(given)
    taken = function.takes(given)
    if output.where is not None:
        taken = only_where(taken, truth_columns(spec.view)[output.where])
    return function, taken
