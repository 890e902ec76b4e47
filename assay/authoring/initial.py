"""First definitions for data files: one source and one view a path, entities once.
Not for another store's definitions.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.authoring import documents
from assay.authoring.columns import columns_of
from assay.authoring.proposals import Proposal, propose, snake
from assay.authoring.samples import FORMATS, MAX_ROWS, Sample, format_of, take
from assay.errors import Invalid

_MAX_FILES = 100_000
_MAX_SOURCES = 50
_DELTA_LOG = "_delta_log"


@dataclass(frozen=True)
class Found:
    """The files of one path, which are one source: its name, its pattern, the first looked at."""

    name: str
    pattern: Path
    files: tuple[Path, ...]
    type: str = "file"
    #: Of the first file, where it was looked at already.
    sample: Sample | None = None


def first_definitions(paths: Sequence[Path], root: Path | None = None) -> str:
    """Write commented definitions for data files and folders of them.

    ``root``: the folder that the project's root is, which paths are written below; without it the
    one that all of them share.

    :raises Invalid: a path is not there, cannot be read, or lies elsewhere.
    """
    found = [each for path in paths for each in find(path)]
    base = root or Path(os.path.commonpath([each.files[0].resolve().parent for each in found]))
    texts: list[str] = []
    entities: dict[str, str] = {}
    names: set[str] = set()
    for each in found:
        if each.name in names:
            raise Invalid(f"two of the paths would be called {each.name!r}; write them one by one")
        names.add(each.name)
        texts += _of(each, base.resolve(), entities)
    return "---\n".join(texts)


def find(path: Path) -> list[Found]:
    """Give the sources of one path: a file; of a folder all its files as one, or each by itself.

    Files are one source if they are of one format and the first and the last have equal columns.
    """
    if path.is_file():
        return [Found(_name(path), path, (path,))]
    if not path.is_dir():
        raise Invalid(f"{path}: there is no such file or folder", path=str(path))
    files = _data_files(path)
    if (path / _DELTA_LOG).is_dir() and files:
        # Its folder keeps files that it has no longer; the newest is the likeliest to be of it.
        newest = sorted(files, key=lambda file: file.stat().st_mtime, reverse=True)
        return [Found(_name(path), path, tuple(newest), type="delta")]
    if not files:
        raise Invalid(f"{path} has no data file; they end in {', '.join(FORMATS)}", path=str(path))
    endings = {format_of(each) for each in files}
    sample = take(files[0])
    if len(endings) == 1 and sample.columns.keys() == take(files[-1]).columns.keys():
        deep = any(each.parent != path for each in files)
        pattern = path / ("**" if deep else "") / f"*{endings.pop()}"
        return [Found(_name(path), pattern, files, sample=sample)]
    if len(files) > _MAX_SOURCES:
        raise Invalid(f"{path} has {len(files):,} files that are not alike; name some of them")
    return [Found(_name(each), each, (each,)) for each in files]


def _data_files(folder: Path) -> tuple[Path, ...]:
    files: list[Path] = []
    for each in folder.rglob("*"):
        hidden = any(part[0] in "._" for part in each.relative_to(folder).parts)
        if format_of(each) and not hidden and each.is_file():
            files.append(each)
        if len(files) > _MAX_FILES:
            raise Invalid(f"{folder} has more than {_MAX_FILES:,} data files; name a part of it")
    return tuple(sorted(files))


def _of(found: Found, base: Path, entities: dict[str, str]) -> list[str]:
    """Write what one path gives; ``entities`` are those written before, by name, and grow."""
    sample = found.sample or take(found.files[0])
    proposal = propose(columns_of(sample))
    where = {"type": found.type, "path": _below(found.pattern, base)}
    name, keys = documents.entity_of(proposal)
    while entities.get(name, keys) != keys:
        name += "_of_" + found.name  # the same word for another key is another thing
    parts = [] if name in entities else [documents.entity(name, proposal)]
    entities[name] = keys
    parts += [
        documents.source(found.name, where, proposal, f"below {base}, the project's root"),
        documents.view(found.name, found.name, name, proposal),
    ]
    return [_heading(found, sample.rows, sample.is_whole, proposal) + parts[0], *parts[1:]]


def _heading(found: Found, rows: int, is_whole: bool, proposal: Proposal) -> str:  # noqa: FBT001
    of_file = f"all {rows:,}" if is_whole else f"the first {rows:,}"
    which = "the newest" if found.type == "delta" else "the first"
    of_many = f" {which} of {len(found.files):,} files," if len(found.files) > 1 else ""
    lines = [
        f"Proposed from {found.files[0]},{of_many} {of_file} rows of it (at most {MAX_ROWS:,})."
    ]
    lines.append("Read it, change what is wrong, then `assay plan` it.")
    return documents.comment([*lines, *proposal.notes])


def _below(pattern: Path, base: Path) -> str:
    try:
        return pattern.resolve().relative_to(base).as_posix()
    except ValueError as exc:
        raise Invalid(f"{pattern} is not below {base}; name the root it is in: --root") from exc


def _name(path: Path) -> str:
    ending = format_of(path) or ""
    name = path.resolve().name
    return snake(name[: len(name) - len(ending)] if path.is_file() else name) or "source"
