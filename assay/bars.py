"""How far a call is, drawn by rich on standard error and cleared at its end.
Not for whether anything is drawn; see progress.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
)
from rich.progress import TimeElapsedColumn as Elapsed

from assay.progress import printable, step_of
from assay.shapes import JSON
from assay.waiting import OnProgress


@contextmanager
def line(text: str, say: Callable[[JSON], str]) -> Iterator[OnProgress]:
    with _drawn(Elapsed()) as progress:
        task = progress.add_task(printable(text), total=None)
        yield lambda found: progress.update(
            task, description=printable(f"{text}: {say(found)}"), refresh=True
        )


def arriving(pieces: Iterable[bytes], text: str, size: int | None) -> Iterator[bytes]:
    with _drawn(BarColumn(), DownloadColumn(), Elapsed()) as progress:
        task = progress.add_task(printable(text), total=size)
        for piece in pieces:
            progress.update(task, advance=len(piece), refresh=True)
            yield piece


@contextmanager
def of_runs() -> Iterator[OnProgress]:
    tasks: dict[int, TaskID] = {}
    with _drawn(BarColumn(), TaskProgressColumn(), Elapsed()) as progress:

        def show(run: JSON) -> None:
            if run["id"] not in tasks:
                tasks[run["id"]] = progress.add_task("", total=1.0)
            step = step_of(run) if run["status"] == "running" else run["status"]
            said = f"run {run['id']} {run['feature_view']}@{run['version']}, {step}"
            done, task = float(run.get("progress") or 0), tasks[run["id"]]
            progress.update(task, description=printable(said), completed=done, refresh=True)

        yield show


def _drawn(*columns: ProgressColumn) -> Progress:
    """Make a place that is drawn by whoever tells how far it is, and by no thread of its own."""
    words = TextColumn("{task.description}", markup=False)
    console = Console(stderr=True)
    return Progress(words, *columns, console=console, transient=True, auto_refresh=False)
