"""What the catalogue says of each feature, fast enough to look through all of them at once.

What a version says never changes once it is submitted, so it is read and traced once and kept in
the process, by fingerprint; which versions there are, and how they stand, is asked each time. So
nothing has to be kept up to date, and nothing shown is old. Not for searching (``search``) or for
what reads a feature (``lineage``).
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

from django.db.models import F, Q

from registry.choices import SERVED_STATES, State
from registry.models import FeatureView, FeatureViewVersion, Project
from registry.newest import newest_pks
from registry.spec.lineage import Origin, origins_of
from registry.spec.references import Reference
from registry.spec.search_words import words_in
from registry.spec.version_spec import load_version_spec
from registry.spec.versions import Version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import timedelta

    from registry.spec.model import FeatureSpec
    from registry.spec.version_spec import VersionSpec

#: Features whose words are kept in a process: a kilobyte each.
MOST_KEPT = 100_000
#: Characters of a description that are searched; the rest is only shown.
SEARCHED_LENGTH = 2_000


class FeatureWords(NamedTuple):
    """What one version says of one feature, and the words by which it is found."""

    name: str
    type: str
    sensitivity: str
    description: str
    unit: str
    origin: Origin
    #: What is stored in place of its column's values, in words; empty: the values.
    masked: str
    #: The steps that make what is stored of its column's values, in words; empty: none.
    encoded: str
    #: Words between blanks: of its name, of what it is made of and is, of its description.
    named: str
    made_of: str
    said: str


class VersionWords(NamedTuple):
    """What one version says, as far as the catalogue shows it in lists."""

    owner: str
    tags: tuple[str, ...]
    entities: tuple[str, ...]
    source: str
    #: The names of the sources that it joins to that.
    joined: tuple[str, ...]
    promise: timedelta | None
    is_stored: bool
    features: tuple[FeatureWords, ...]
    #: Words between blanks: of the view, its owner, tags, entities and source; of its description.
    around: str
    said: str

    @property
    def sources(self) -> tuple[str, ...]:
        """All sources that it reads, its own first; of an on-demand view none."""
        return (self.source, *self.joined) if self.source else ()


class VersionRow(NamedTuple):
    """One version as it stands now."""

    pk: int
    view_id: int
    view: str
    project: str
    default_id: int | None
    state: str
    #: Of its number; the first is None of a draft that was never submitted.
    parts: tuple[int | None, int, int]
    words: VersionWords

    @property
    def is_default(self) -> bool:
        return self.pk == self.default_id

    @property
    def number(self) -> Version | None:
        """The number it is known by: one that a draft has is of an earlier submission."""
        major, minor, patch = self.parts
        if self.state == State.DRAFT or major is None:
            return None
        return Version(major, minor, patch)

    def reference(self, feature: str) -> str:
        """Return how a feature of this version is read: without a number where it speaks for it."""
        pin = None if self.is_default or self.number is None else str(self.number)
        return str(Reference(self.view, pin, feature))


class Entry(NamedTuple):
    """One feature, as the version that speaks for its view has it."""

    version: VersionRow
    feature: FeatureWords


def entries(projects: Collection[int]) -> list[Entry]:
    """Return every feature of these projects once, in no order."""
    found = shown_rows(projects)
    return [Entry(row, feature) for row in found for feature in row.words.features]


def shown_rows(projects: Collection[int]) -> list[VersionRow]:
    """Return of each view the version that speaks for it; see ``newest.shown_version``."""
    return _rows(projects, _speaks(projects))


def rows_in_use(projects: Collection[int], *, also: int | None = None) -> list[VersionRow]:
    """Return the versions that speak for their views, all that answer beside them, and ``also``."""
    return _rows(projects, _speaks(projects) | Q(state__in=SERVED_STATES) | Q(pk=also))


def _speaks(projects: Collection[int]) -> Q:
    others = FeatureView.objects.filter(project__in=projects, default_version=None)
    is_default = Q(pk=F("feature_view__default_version"))
    return is_default | Q(pk__in=newest_pks(others)) if others.exists() else is_default


_COLUMNS = (
    "pk", "feature_view", "feature_view__name", "feature_view__project",
    "feature_view__default_version", "state", "major", "minor", "patch",
    "data_fingerprint", "metadata_fingerprint",
)  # fmt: skip


def _rows(projects: Collection[int], which: Q) -> list[VersionRow]:
    versions = FeatureViewVersion.objects.filter(which, feature_view__project__in=projects)
    names = dict(Project.objects.filter(pk__in=projects).values_list("pk", "name"))
    lines = list(versions.order_by().values_list(*_COLUMNS))
    words = _kept.of([(line[0], line[-2], line[-1]) for line in lines])
    return [
        VersionRow(pk, view_id, view, names[project], default, state, (a, b, c), words[pk])
        for pk, view_id, view, project, default, state, a, b, c, _, _ in lines
        if pk in words and project in names
    ]


def _words_of(spec: VersionSpec) -> VersionWords:
    view, origins = spec.view, origins_of(spec)
    tags = tuple(f"{key}:{value}" if value else key for key, value in view.tags.items())
    joined = tuple(join.name for join in view.sources)
    features = (_feature_words(each, origins.get(each.name, Origin())) for each in spec.features)
    return VersionWords(
        view.owner, tags, view.entities, view.source, joined, view.promised_age,
        spec.transform.is_stored, tuple(features),
        words_in(view.name, view.owner, *tags, *view.entities, view.source, *joined),
        words_in(view.description[:SEARCHED_LENGTH]),
    )  # fmt: skip


def _feature_words(feature: FeatureSpec, origin: Origin) -> FeatureWords:
    made_of = (*origin.columns_said, *map(str, origin.features), *origin.request)
    said = "masked " + feature.masked if feature.masked else ""
    said += "encoded " + feature.encoded if feature.encoded else ""
    return FeatureWords(
        feature.name, feature.type, str(feature.sensitivity), feature.description, feature.unit,
        origin, feature.masked, feature.encoded, words_in(feature.name),
        words_in(feature.type, feature.unit, feature.sensitivity, said, *made_of),
        words_in(feature.description[:SEARCHED_LENGTH]),
    )  # fmt: skip


Key = tuple[int, str, str]


class _Kept:
    """The words of versions by key and fingerprints; those asked for longest ago go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._words: OrderedDict[Key, VersionWords] = OrderedDict()
        self._features = 0

    def of(self, keys: Sequence[Key]) -> dict[int, VersionWords]:
        """Return what these versions say, by their keys; one that went away is left out."""
        with self._lock:
            known = {key: self._words.get(key) for key in keys}
            found = {key[0]: words for key, words in known.items() if words is not None}
            # Nothing has to go soon: then nobody asks which was asked for longest ago.
            for key in known if self._features > MOST_KEPT // 2 else ():
                if known[key] is not None:
                    self._words.move_to_end(key)
        for key, words in _read([key for key in keys if key[0] not in found]):
            found[key[0]] = words
            self._keep(key, words)
        return found

    def _keep(self, key: Key, words: VersionWords) -> None:
        with self._lock:
            if key in self._words:
                return
            self._words[key] = words
            self._features += max(1, len(words.features))
            while self._features > MOST_KEPT and len(self._words) > 1:
                _, gone = self._words.popitem(last=False)
                self._features -= max(1, len(gone.features))


_kept = _Kept()


def _read(keys: Sequence[Key]) -> Iterator[tuple[Key, VersionWords]]:
    for some in _batches(keys, 500):
        rows = FeatureViewVersion.objects.filter(pk__in=[pk for pk, *_ in some])
        for pk, data, metadata, text in rows.values_list(
            "pk", "data_fingerprint", "metadata_fingerprint", "spec_json"
        ):
            yield (pk, data, metadata), _words_of(load_version_spec(text))


def _batches(keys: Sequence[Key], size: int) -> Iterable[Sequence[Key]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
