"""All of the evidence of one submission, part by part: what could not be computed says why.

Not for who asks or where it is kept: ``runner.assaying`` has that.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from lib.errors import AssayError, Unavailable
from materialization.disclosure import VALUES
from materialization.errors import TEMP_PREFIX
from materialization.quality.evidence.comparison import compare_trials, rows_of
from materialization.quality.evidence.cost import cost_of
from materialization.quality.evidence.leakage import first_event_of, probe
from materialization.quality.evidence.showing import shown_at
from materialization.quality.evidence.trial import (
    Subject,
    Trial,
    last_stretch,
    middle_of,
    try_out,
)
from materialization.stores.columns import SEQUENCE
from materialization.windows import Window
from registry.choices import EvidencePart
from registry.evidence import computed, not_applicable, not_computed

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pyarrow as pa

    from materialization.quality.evidence.trial import Bounds

Made = TypeVar("Made")
log = logging.getLogger(__name__)
#: Why a version is compared with nothing.
FIRST = "it is the first version: there is nothing to compare it with."
#: Rows that are shown as they are.
SAMPLE = 5


class Wanted(NamedTuple):
    """What the evidence is of. ``before``: what it changes, or why there is nothing to compare.

    ``until`` is the instant up to which the source is looked at. ``told`` writes a message without
    where roots are.
    """

    after: Subject
    before: Subject | str
    until: datetime
    scratch: str
    told: Callable[[str], str]


def gather(wanted: Wanted, bounds: Bounds) -> dict[str, dict[str, Any]]:
    """Return every part of the evidence; an error of one leaves the others.

    What ``bounds.watch`` raises ends it all, and so does an outage.

    :raises Unavailable: the same may succeed later.
    """
    folder = Path(tempfile.mkdtemp(prefix=TEMP_PREFIX, dir=wanted.scratch))
    try:
        return _Gathering(wanted, bounds, folder).parts()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Gathering:
    """The trials that the parts share, each made once: the rows, or why there are none."""

    def __init__(self, wanted: Wanted, bounds: Bounds, folder: Path) -> None:
        self._wanted, self._bounds = wanted, bounds
        self._folders = (folder / str(number) for number in count())
        self._window = Window(None, wanted.until)

    def parts(self) -> dict[str, dict[str, Any]]:
        after = self._told(self._first)
        if isinstance(after, str):
            return {part: not_computed(after) for part in EvidencePart}
        base = self._wanted.before
        before = base if isinstance(base, str) else self._told(self._tried, base, self._window)
        made = {
            EvidencePart.PROFILE: self._told(self._profile, after, before),
            EvidencePart.COMPARISON: self._told(self._comparison, after, before),
            EvidencePart.LEAKAGE: self._told(self._leakage, after),
            EvidencePart.COST: self._told(self._cost, after),
        }
        if not after.counters.rows:
            until = f"{self._window.end:%Y-%m-%d %H:%M} UTC"
            said = f"the version makes no rows of the source up to {until}."
            if self._wanted.after.spec.is_pushed:
                said = "its rows arrive: there are none to look at before it is approved."
            nothing = not_computed(said, counts=True)
            made |= {part: nothing for part in made if part is not EvidencePart.COST}
        return {
            part: not_computed(found) if isinstance(found, str) else found
            for part, found in made.items()
        }

    def _told(self, make: Callable[..., Made | str], *args: Any) -> Made | str:
        """Return what is made, or in words why it could not be."""
        try:
            self._bounds.watch(0.0)  # not all that is made looks by itself
            return make(*args)
        except (self._bounds.ends, Unavailable):
            raise
        except AssayError as exc:
            return self._wanted.told(exc.message)
        except Exception as exc:
            log.exception("evidence of %s", self._wanted.after.spec.view.name)
            return f"unexpected {type(exc).__name__}; the worker's log has the traceback."

    def _first(self) -> Trial:
        wanted, bounds = self._wanted, self._bounds
        self._window = last_stretch(wanted.after, bounds, until=wanted.until)
        return self._tried(wanted.after, self._window)

    def _tried(self, subject: Subject, window: Window) -> Trial:
        return try_out(subject, self._bounds, window=window, folder=next(self._folders))

    def _profile(self, after: Trial, before: Trial | str) -> dict[str, Any]:
        sides = {"after": after} if isinstance(before, str) else {"before": before, "after": after}
        said = {side: trial.profile.to_json() for side, trial in sides.items()}
        start, end = self._window
        facts = {
            "window_start": start.isoformat() if start else None,
            "window_end": end.isoformat(),
            "before": None if isinstance(before, Trial) else before,
            **{side: _without_values(profile) for side, profile in said.items()},
        }
        rows = self._bounds.engine.some_rows(after.files, after.spec, SAMPLE)
        return computed(facts, {**said, "sample": _shown(rows)})

    def _comparison(self, after: Trial, before: Trial | str) -> dict[str, Any] | str:
        if self._wanted.before == FIRST:
            return not_applicable(FIRST)
        if isinstance(before, str):
            return before
        if before.spec.join_keys != after.spec.join_keys:
            return not_applicable("its rows are of other entities: the join keys changed.")
        engine = self._bounds.engine
        asked = rows_of([before, after], engine=engine)
        found = compare_trials(before, after, asked=asked, engine=engine)
        facts = {"rows": found.rows, "features": found.facts, "times": _times(before, after)}
        return computed(facts, found.values)

    def _leakage(self, after: Trial) -> dict[str, Any]:
        cut = None
        if (first := first_event_of(after.files)) is not None:
            middle = middle_of(self._window, first)
            cut = self._tried(self._wanted.after, Window(self._window.start, middle))
        return computed(probe(after, cut, engine=self._bounds.engine), {})

    def _cost(self, after: Trial) -> dict[str, Any]:
        return computed(cost_of(self._wanted.after, after, engine=self._bounds.engine), {})


def _times(before: Trial, after: Trial) -> dict[str, list[str]] | None:
    """Return by which columns each places its rows in time, where that changed: values differ then
    because of when rows count, too."""
    said = {"before": _columns_of(before), "after": _columns_of(after)}
    return said if said["before"] != said["after"] else None


def _columns_of(trial: Trial) -> list[str]:
    source = trial.spec.rows_from
    columns = (source.event_timestamp, source.created_timestamp)
    return [each.column for each in columns if each is not None]


def _without_values(profile: dict[str, Any]) -> dict[str, Any]:
    columns = [
        {key: value for key, value in column.items() if key not in VALUES}
        for column in profile["columns"]
    ]
    return profile | {"columns": columns}


def _shown(rows: pa.Table) -> list[dict[str, Any]]:
    names = [name for name in rows.column_names if name != SEQUENCE]
    return [{name: shown_at(rows[name], n) for name in names} for n in range(rows.num_rows)]
