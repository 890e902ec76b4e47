"""How far the point-in-time join reaches: peers, many views, a part of the history, little memory.

Run: ``python -m benchmarks.join_reach [--rows 1000000] [--entities 100000] [--repeat 3]`` for all
sides in one table, and with ``--rows 50000000 --memory-mb 2000 --sides known`` for a history that
does not fit. Data, the whole way and the peers are those of ``point_in_time``; polars is there
where it is installed, Feast where ``FEAST_PYTHON`` names its interpreter. Each side runs in a
process of its own, in turn, whose greatest resident memory is printed: an answer that lies in a
file counts where it was looked at. Where the machine is shared, processor seconds say more than
those of the clock; Feast's have its imports in them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.point_in_time import (
    DAYS,
    FEATURES,
    check,
    make_data,
    ours,
    pl,
    plain_asof,
    polars_asof,
    setup,
)
from materialization.compute.questions import Timing

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

VIEWS = 5
FEAST = "Feast"


class Taken(NamedTuple):
    """What a side took: seconds by the clock and of the processor, and memory at most."""

    clock: float
    processor: float
    peak_mb: int


class Side(NamedTuple):
    """How a side answers, of which tenth of the time, and the side that it is compared with."""

    answer: Callable[[Path, pa.Table, argparse.Namespace], pa.Table]
    against: str
    tenth: int | None = None


def main() -> None:
    arguments = _arguments()
    if arguments.side == "check":
        _check(arguments)
        return
    if arguments.side:
        print(*_seconds(SIDES[arguments.side], arguments))
        return
    with tempfile.TemporaryDirectory(prefix="assay-bench-", dir=arguments.folder) as folder:
        _made_apart(Path(folder), arguments)
        print(setup(arguments), flush=True)
        if "plain" in arguments.sides:
            subprocess.run(_command("check", folder, arguments), check=True)
        found: dict[str, list[Taken]] = {name: [] for name in arguments.sides}
        for _ in range(arguments.repeat):
            for name, taken in found.items():
                taken.append(_apart(name, folder, arguments))
        report(found)


def plain(features: Path, entities: pa.Table, arguments: argparse.Namespace) -> pa.Table:
    return plain_asof(features, entities, arguments)


def event(features: Path, entities: pa.Table, arguments: argparse.Namespace) -> pa.Table:
    return ours(features, entities, arguments, Timing.EVENT)


def known(features: Path, entities: pa.Table, arguments: argparse.Namespace) -> pa.Table:
    return ours(features, entities, arguments, Timing.KNOWN)


def polars(features: Path, entities: pa.Table, _: argparse.Namespace) -> pa.Table:
    return polars_asof(features, entities)


def single_ones(features: Path, entities: pa.Table, arguments: argparse.Namespace) -> pa.Table:
    """Ask for one view five times."""
    return [known(features, entities, arguments) for _ in range(VIEWS)][0]


def five_views(features: Path, entities: pa.Table, arguments: argparse.Namespace) -> pa.Table:
    """Ask for five views of the same rows at once."""
    return ours(features, entities, arguments, Timing.KNOWN, views=VIEWS)


#: What is measured; ``first``, ``middle`` and ``last`` are the entity rows of a tenth of the time.
SIDES = {
    "plain": Side(plain, "plain"),
    "event": Side(event, "plain"),
    "known": Side(known, "plain"),
    "polars": Side(polars, "plain"),
    "single ones": Side(single_ones, "known"),
    "five views": Side(five_views, "single ones"),
    "first": Side(known, "known", 0),
    "middle": Side(known, "known", 5),
    "last": Side(known, "known", 9),
    "event middle": Side(event, "event", 5),
    "plain middle": Side(plain, "plain", 5),
    "polars middle": Side(polars, "polars", 5),
}


def report(found: dict[str, list[Taken]]) -> None:
    """Print medians, each as a part of what it is compared with, and the greatest memory."""
    print(f"{'':<14}{'clock s':>9}{'ratio':>7}{'cpu s':>9}{'ratio':>7}  {'of':<12}{'peak MB':>9}")
    for name, taken in found.items():
        of = "event" if name == FEAST else SIDES[name].against
        line = f"{name:<14}"
        for which in ("clock", "processor"):
            mine, theirs = (
                median(getattr(each, which) for each in found.get(side, taken))
                for side in (name, of)
            )
            line += f"{mine:>9.3f}{mine / theirs:>7.2f}"
        print(f"{line}  {of if of in found else '':<12}{max(each.peak_mb for each in taken):>9}")


def _made_apart(folder: Path, arguments: argparse.Namespace) -> None:
    """Make the data in a process that ends, so that its memory is nobody else's."""
    if not (pid := os.fork()):
        make_data(folder, arguments.rows, arguments.entities, arguments.threads)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("the data could not be made")


def _check(arguments: argparse.Namespace) -> None:
    """Stop unless the sides' answers agree, in a process whose memory counts for none of them."""
    features, entities = _files(arguments.folder)
    asked = pq.read_table(entities)
    names = ("plain", "event", "known", *(["polars"] if "polars" in arguments.sides else []))
    answers = {name: SIDES[name].answer(features, asked, arguments) for name in names}
    check(features, asked, {"plain ASOF": answers.pop("plain"), **answers})


def _command(side: str, folder: str, arguments: argparse.Namespace) -> list[str]:
    command = [sys.executable, "-m", "benchmarks.join_reach", "--side", side, "--folder", folder]
    for option in ("threads", "memory_mb"):
        command += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
    return [*command, "--sides", *arguments.sides]


def _apart(name: str, folder: str, arguments: argparse.Namespace) -> Taken:
    """Return what a side says it took, and its process's greatest memory."""
    command = _command(name, folder, arguments)
    if name == FEAST:
        script = str(Path(__file__).with_name("feast_point_in_time.py"))
        command = [os.environ["FEAST_PYTHON"], script, *map(str, _files(folder)), "duckdb"]
    env = {**os.environ, "POLARS_MAX_THREADS": str(arguments.threads)}
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
    assert started.stdout is not None
    said = started.stdout.read()
    _, status, used = os.wait4(started.pid, 0)
    if status:
        raise SystemExit(f"{name} failed")
    if name == FEAST:
        _, clock, _ = said.strip().splitlines()[-1].split()
        return Taken(float(clock), used.ru_utime + used.ru_stime, used.ru_maxrss >> 10)
    return Taken(*map(float, said.split()), used.ru_maxrss >> 10)


def _files(folder: str) -> tuple[Path, Path]:
    return Path(folder) / "features.parquet", Path(folder) / "entities.parquet"


def _seconds(side: Side, arguments: argparse.Namespace) -> tuple[float, float]:
    features, asked = _files(arguments.folder)
    entities = pq.read_table(asked)
    if side.tenth is not None:
        entities = _of_tenth(entities, side.tenth)
    # What is loaded at the first question belongs to none of them.
    side.answer(features, entities.slice(0, 1), arguments)
    started, used = time.perf_counter(), time.process_time()
    table = side.answer(features, entities, arguments)
    taken = time.perf_counter() - started, time.process_time() - used
    assert table.num_rows
    assert {*FEATURES} <= {name.partition("__")[0] for name in table.column_names}
    return taken


def _of_tenth(entities: pa.Table, number: int) -> pa.Table:
    """Return the entity rows of one tenth of the time alone."""
    times = entities["event_timestamp"].cast("int64")
    first, tenth = pc.min(times).as_py(), DAYS * 86_400_000_000 // 10
    return entities.filter(pc.equal(pc.divide(pc.subtract(times, first), tenth), number))


def _arguments() -> argparse.Namespace:
    there = [name for name in SIDES if pl is not None or SIDES[name].answer is not polars]
    if "FEAST_PYTHON" in os.environ:
        there.append(FEAST)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="feature rows")
    parser.add_argument("--entities", type=int, default=100_000, help="entity rows")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the median counts")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-mb", type=int, default=4096)
    parser.add_argument("--sides", nargs="+", default=there, choices=there)
    parser.add_argument("--folder", help="where the data is made; default: the temp directory")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
