"""The main job, end to end, on one machine: define, review, approve, materialize, read.

Starts the whole server, walks one governed path through it with the client that users install,
shows what came back, and keeps serving. ``--check`` ends after the path instead.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import yaml
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from assay import FeatureStore
from assay.errors import AssayError
from examples.demo_server import DATA, ROOT, DemoFailed, console, running_server, stay, step
from examples.streaming import people
from examples.streaming.cast import power_user_of_the_demo

if TYPE_CHECKING:
    from collections.abc import Iterable


DEFINITIONS = sorted((ROOT / "examples" / "streaming" / "definitions").glob("*.yaml"))
#: The views of the definitions, and the number each gets when it is defined first.
VIEWS = {
    document["name"]
    for path in DEFINITIONS
    for document in yaml.safe_load_all(path.read_text())
    if document["kind"] == "FeatureView"
}
FIRST_VERSION = "1.0.0"
EVIDENCE_TIMEOUT_SECONDS = 120
RUN_TIMEOUT_SECONDS = 600


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with running_server(options.port) as server:
            walk(f"http://127.0.0.1:{options.port}")
            if not options.check:
                stay(server)
    except (DemoFailed, AssayError) as exc:
        console.print(f"[bold red]The demo failed:[/] {exc}")
        return 1
    except KeyboardInterrupt:
        console.print("\nStopped; everything the demo started has ended.")
    return 0


def walk(url: str) -> None:
    """Go the whole way once, each step shown as it happens."""
    step(3, "People: Ana writes features, Stella is the steward, Olaf owns the project")
    cast = people.settle(url, root=DATA, at=datetime.now(UTC))
    stores = {name: FeatureStore(url, token, people.PROJECT) for name, token in cast.tokens.items()}
    define(stores["ana"])
    review(stores["ana"], stores["stella"])
    materialize(stores["stella"])
    read_online(stores[people.SERVICE_ACCOUNT])
    read_training_set(stores["ana"])
    farewell(url, cast)


def define(store: FeatureStore) -> None:
    step(4, f"Ana applies {len(DEFINITIONS)} files of definitions and submits them for review")
    if {view["name"] for view in store.list_feature_views()} >= VIEWS:
        console.print("    they are there already; what was made of them since stays as it is")
        return
    answer = store.apply(DEFINITIONS, submit=True)
    columns = ("kind", "name", "change", "class", "version", "state")
    table = _table(columns)
    for change in answer["changes"]:
        table.add_row(*(str(change[key] or "") for key in columns))
    console.print(table)


def review(author: FeatureStore, steward: FeatureStore) -> None:
    step(5, "Stella, who wrote none of it, reviews and approves; Ana cannot")
    # Only what this script submitted: nobody signs for other people's work.
    waiting = [
        f"{view['name']}@{version['version']}"
        for view in steward.list_feature_views()
        for version in view["versions"]
        if version["state"] == "in_review" and view["name"] in VIEWS
        if version["version"] == FIRST_VERSION
    ]
    if not waiting:
        console.print("    they are approved already; what else waits is for you to review")
    for index, reference in enumerate(waiting):
        if index == 0:
            _try_own_approval(author, reference)
        review = _assayed(steward, reference)
        packet = review["packet"]
        steward.approve(
            reference, comment="Definition and evidence looked at.",
            packet_hash=review["packet_hash"],
        )  # fmt: skip
        console.print(
            f"    {reference}: {packet['class']} change ({', '.join(packet['reasons'])}), "
            f"{packet['source']['rows'] or 0:,} source rows; {_evidence(review)}"
            " → [green]approved[/]"
        )


def _assayed(steward: FeatureStore, reference: str) -> dict[str, Any]:
    """Return the review once a worker has computed its evidence, or after a while as it is."""
    deadline = time.monotonic() + EVIDENCE_TIMEOUT_SECONDS
    with console.status(f"a worker looks at what {reference} does to the data"):
        while True:
            review: dict[str, Any] = steward.review(reference)
            if review["evidence"]["status"] == "computed" or time.monotonic() > deadline:
                return review
            time.sleep(0.5)


def _evidence(review: dict[str, Any]) -> str:
    parts = review["evidence"]["parts"]
    if "facts" not in parts.get("leakage", {}):
        return "no evidence yet"
    probe = parts["leakage"]["facts"]["later_rows_removed"]
    signs = (
        "values depend on later rows" if probe.get("changed") else "no value depends on later rows"
    )
    return f"{parts['cost']['facts']['rows_made']:,} rows tried, {signs}"


def _try_own_approval(author: FeatureStore, reference: str) -> None:
    try:
        shown = author.review(reference)["packet_hash"]
        author.approve(reference, comment="It is mine, so it is good.", packet_hash=shown)
    except AssayError as exc:
        console.print(f"    {reference}: Ana approves her own → [yellow]refused[/]: {exc}")
    else:
        raise DemoFailed(f"{reference}: its author could approve it")


def materialize(store: FeatureStore) -> None:
    step(6, "A Celery worker materializes the approved versions up to now")
    end = datetime.now(UTC)
    runs = _start_runs(store, end)
    with Progress(
        TextColumn("    {task.description:<22}"),
        BarColumn(30),
        TextColumn("{task.fields[step]:<10} {task.fields[rows]:>9} rows"),
        TimeElapsedColumn(),
        console=console,
    ) as progress:
        tasks = {
            run["id"]: progress.add_task(_name(run), total=1, step="queued", rows="")
            for run in runs
        }
        finished = _watch(store, tasks, progress)
    for run in finished:
        if run["status"] != "succeeded":
            raise DemoFailed(f"run {run['id']} of {_name(run)} {run['status']}: {run['error']}")
        console.print(
            f"    {_name(run)}: {run['rows_offline']:,} rows offline, "
            f"{run['rows_online']:,} entities online"
        )


def _name(run: dict[str, Any]) -> str:
    return f"{run['feature_view']}@{run['version']}"


def _start_runs(store: FeatureStore, end: datetime) -> list[dict[str, Any]]:
    """Ask for runs; where the schedule was faster, its run is the one to watch."""
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    while True:
        try:
            return store.materialize_incremental(end, sorted(VIEWS))
        except AssayError as exc:
            if getattr(exc, "code", "") != "run_in_progress" or time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _watch(store: FeatureStore, tasks: dict[int, Any], progress: Progress) -> list[dict[str, Any]]:
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        runs = [store.get_run(run_id) for run_id in tasks]
        for run in runs:
            rows = f"{run['rows_read']:,}" if run["rows_read"] else ""
            progress.update(
                tasks[run["id"]], completed=run["progress"], step=run["step"], rows=rows
            )
        if all(run["status"] not in ("queued", "running") for run in runs):
            return runs
        time.sleep(0.25)
    raise DemoFailed(
        f"runs {sorted(tasks)} did not finish within {RUN_TIMEOUT_SECONDS} s; "
        "var/logs/worker.log says why"
    )


def read_online(store: FeatureStore) -> None:
    step(7, "The recommender reads online features over HTTP")
    user = power_user_of_the_demo(DATA)
    answer = store.get_online_features(
        feature_service="recommender", entity_rows=[{"user_id": user}]
    )
    begun = time.perf_counter()
    answer = store.get_online_features(
        feature_service="recommender", entity_rows=[{"user_id": user}]
    )
    took = (time.perf_counter() - begun) * 1000
    values = {name: column[0] for name, column in answer.to_dict().items()}
    missing = [name for name, column in answer.statuses().items() if column != ["PRESENT"]]
    if missing:
        raise DemoFailed(f"user {user}: {', '.join(missing)} not PRESENT: {answer.to_dict()}")
    console.print(f"    user {user} in {took:.1f} ms: {values}")
    console.print(
        f"    context: [bold]segment={values['user_segment']}, "
        f"watched {values['watch_count_30d']} titles in last 30 days, "
        f"last genre watched: {values['last_genre']}[/]"
    )


def read_training_set(store: FeatureStore) -> None:
    step(8, "Ana reads a point-in-time training set over HTTP")
    user = power_user_of_the_demo(DATA)
    now = datetime.now(UTC).replace(microsecond=0)
    instants = [now - timedelta(days=days) for days in (60, 30, 7, 1, 0)]
    frame = {"user_id": [user] * len(instants), "event_timestamp": instants}
    job = store.get_historical_features(frame, feature_service="recommender")
    columns = job.to_dict()
    table = _table(columns)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*map(_shown, row))
    console.print(table)
    for warning in job.warnings:
        console.print(f"    [yellow]{warning}[/]")


def _table(columns: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=True)
    return table


def _shown(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else str(value)


def farewell(url: str, cast: people.People) -> None:
    console.print(
        "\n[bold green]One feature went the whole way.[/] "
        f"Open [bold]{url}/admin/[/] · API docs {url}/api/docs"
    )
    for name, password in cast.passwords.items():
        console.print(f"    log in as {name:<7} password {password:<14} ({people.ROLES[name]})")
    console.print(
        f"    try: ASSAY_URL={url} ASSAY_PROJECT={people.PROJECT} ASSAY_TOKEN={cast.tokens['ana']} "
        f".venv/bin/assay feature-views list"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--check", action="store_true", help="end after the path; exit 0 if it went well"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
