"""Subcommands about what values look like and how far they drift.
Not for limits; a definition's ``drift`` checks are those.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from assay.cli.arguments import Commands, Context
from assay.shapes import JSON

COLUMNS = ("feature", "rows", "nulls", "mean", "median", "psi", "ks", "js", "null_share", "shift")
SPAN_COLUMNS = ("from", "of_a", "runs", "rows", "nulls", "mean", "median")
REFERENCE = {"metavar": "VIEW@VERSION"}


def add(commands: Commands) -> None:
    profile = commands.add("profile", run_profile, "Show a version's values and their drift.")
    profile.add_argument("reference", **REFERENCE)  # type: ignore[arg-type]
    profile.add_argument("--feature", metavar="NAME", help="one feature, run by run")
    profile.add_argument("--runs", type=int, help="how many of the latest; default 30")
    baseline = commands.add("set-baseline", run_baseline, "Say which runs' values are right.")
    baseline.add_argument("reference", **REFERENCE)  # type: ignore[arg-type]
    baseline.add_argument("first_run", metavar="FIRST_RUN", type=int)
    baseline.add_argument("last_run", metavar="LAST_RUN", type=int, nargs="?")
    baseline.add_argument("--reason", required=True, help="kept with it and in the trail")


def run_profile(context: Context, args: argparse.Namespace) -> None:
    found = context.store.profile(args.reference, feature=args.feature, runs=args.runs)
    if context.out.as_json:
        context.out.json(found)
        return
    baseline = found["baseline"]
    if baseline is None:
        context.out.line("no baseline yet")
    else:
        count = baseline["runs"]
        runs = f"{baseline['rows']} rows of {count} run{'' if count == 1 else 's'}"
        context.out.line(f"baseline of {baseline['set_at']} by {baseline['set_by']}: {runs}")
        if stale := _of_replaced(found["runs"], baseline["set_at"]):
            context.out.line(stale)
    if args.feature:
        columns = ("run", "window_end", *COLUMNS[1:])
        context.out.table(_by_run(found["runs"], args.feature), columns)
        if before := list(_by_span(found.get("before", []), args.feature)):
            context.out.line("before, the profiles of older runs as one for each day or month:")
            context.out.table(before, SPAN_COLUMNS)
    else:
        context.out.table(_by_feature(found), COLUMNS)
    columns = (found["profile"] or {"columns": []})["columns"]
    if withheld := [each["name"] for each in columns if each.get("withheld")]:
        context.out.note(f"withheld: {', '.join(withheld)} take a grant (assay grants ask)")


def _of_replaced(runs: list[JSON], set_at: str) -> str:
    """Say that the latest drift is against a baseline that was replaced; empty: it is not."""
    times = [(run["run"], run["baseline_set_at"]) for run in runs if run.get("baseline_set_at")]
    if not times or times[-1][1] == set_at:
        return ""
    run, then = times[-1]
    return f"drift is of runs up to {run}, against the baseline of {then}; none since this one"


def _by_run(runs: list[JSON], feature: str) -> Iterator[Mapping[str, Any]]:
    for run in runs:
        if feature in run["features"]:
            said = run["features"][feature]
            yield {"run": run["run"], "window_end": run["window_end"], **_row(feature, said)}


def _by_span(spans: list[JSON], feature: str) -> Iterator[Mapping[str, Any]]:
    for span in spans:
        if feature in span["features"]:
            said = span["features"][feature]
            when = {"from": span["starts_on"], "of_a": span["span"], "runs": span["runs"]}
            yield {**_row(feature, {"drift": {}, **said}), **when}


def _by_feature(found: JSON) -> Iterator[Mapping[str, Any]]:
    """Yield the features over all runs, with how far the latest run that was compared lay."""
    for column in (found["profile"] or {"columns": []})["columns"]:
        name = column["name"]
        said = [run["features"][name] for run in found["runs"] if name in run["features"]]
        drifts = [each["drift"] for each in said if each["drift"]]
        yield _row(name, {**column, "drift": drifts[-1] if drifts else {}})


def _row(feature: str, said: Mapping[str, Any]) -> dict[str, Any]:
    drift = dict(said["drift"].get("baseline", {}))
    drift["shift"] = drift.pop("mean", None)
    row = {key: said.get(key) for key in ("rows", "nulls", "mean")}
    return {"feature": feature, **row, "median": said.get("quantiles", {}).get("0.5"), **drift}


def run_baseline(context: Context, args: argparse.Namespace) -> None:
    last = args.first_run if args.last_run is None else args.last_run
    baseline = context.store.set_baseline(
        args.reference, first_run=args.first_run, last_run=last, reason=args.reason
    )
    if context.out.as_json:
        context.out.json(baseline)
    else:
        context.out.describe(baseline)
