"""Searching the catalogue: features by words, with typos, narrowed by facets that are counted.

Not for what is searched (``entries``) or for the parameters of a door (``api.features``).
"""

from __future__ import annotations

from collections import Counter
from difflib import get_close_matches
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from lib.errors import SHOWN_LENGTH, Invalid
from registry.catalogue.entries import entries
from registry.catalogue.facts import kept_promises
from registry.choices import Standing
from registry.spec.search_words import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from registry.catalogue.entries import Entry

    Facet = Callable[["Found"], Iterable[str]]

MAX_LENGTH, MAX_WORDS = 200, 10
#: Values of one facet that are listed, the most frequent first.
MOST_VALUES = 100
#: Shorter words are too near to one another to be guessed at.
SHORTEST_GUESSED = 4
MOST_GUESSES = 5
#: How a word was found, best first: also the order of what is found.
MATCHES = ("exact", "prefix", "name", "word", "text", "part", "typo")
EXACT, PREFIX, NAME, WORD, TEXT, PART, GUESS = range(len(MATCHES))


class BadSearch(Invalid):
    code = "invalid_search"


class Found(NamedTuple):
    """One feature that was found, how well, and how fresh its data is."""

    entry: Entry
    #: The worst of its words; all of them together.
    match: int
    matches: int
    freshness: str

    @property
    def matched(self) -> str:
        return MATCHES[self.match]


class Value(NamedTuple):
    """One value of a facet, and how many features choosing it would leave."""

    value: str
    features: int


class Result(NamedTuple):
    """What a search found, best first; by facet what could be chosen."""

    found: list[Found]
    facets: dict[str, list[Value]]
    #: Words that nothing has, and what was searched in their place.
    guessed: dict[str, list[str]]


FACETS: dict[str, Facet] = {
    "project": lambda found: (found.entry.version.project,),
    "entity": lambda found: found.entry.version.words.entities,
    "owner": lambda found: (found.entry.version.words.owner,),
    "tag": lambda found: found.entry.version.words.tags,
    "sensitivity": lambda found: (found.entry.feature.sensitivity,),
    "type": lambda found: (found.entry.feature.type,),
    "state": lambda found: (found.entry.version.state,),
    "freshness": lambda found: (found.freshness,),
}


def find_features(
    projects: Collection[int],
    *,
    q: str = "",
    chosen: Mapping[str, str] | None = None,
    views: Collection[str] | None = None,
) -> Result:
    """Search all features of these projects, or of some views of them; see ``search``."""
    found = entries(projects)
    if views is not None:
        found = [entry for entry in found if entry.version.view in views]
    return search(found, q=q, chosen=chosen, freshness=_freshness(projects, found))


def _freshness(projects: Collection[int], found: Iterable[Entry]) -> dict[int, str]:
    rows = {entry.version.pk: entry.version for entry in found}
    promises = {pk: row.words.promise for pk, row in rows.items() if row.words.promise}
    kept = kept_promises(projects, promises)
    return {
        pk: kept.get(pk, Standing.NO_PROMISE if row.words.is_stored else Standing.AT_REQUEST)
        for pk, row in rows.items()
    }


def search(
    features: Sequence[Entry],
    *,
    q: str = "",
    chosen: Mapping[str, str] | None = None,
    freshness: Mapping[int, str] | None = None,
) -> Result:
    """Find the features that have every word of ``q`` and every value that is ``chosen``.

    ``freshness`` says of versions, by their keys, how fresh their data is.

    :raises BadSearch: longer than any name or sentence that something could be found by.
    """
    words = _words_of(q)
    guessed = {word: guess for word in words if (guess := _guesses(word, features)) is not None}
    fresh = freshness or {}
    found = [
        Found(entry, worst, total, fresh.get(entry.version.pk, ""))
        for entry, worst, total in _matches(features, words, guessed)
    ]
    kept, facets = _narrowed(found, {k: v for k, v in (chosen or {}).items() if v})
    return Result(sorted(kept, key=_place), facets, guessed)


def _words_of(q: str) -> list[str]:
    if len(q) > MAX_LENGTH:
        raise BadSearch(f"{len(q)} characters to search for; at most {MAX_LENGTH}.")
    words = list(dict.fromkeys(fold(q).replace("\x00", " ").split()))
    if len(words) > MAX_WORDS:
        raise BadSearch(f"{len(words)} words to search for; at most {MAX_WORDS}.")
    return words


def _texts(entry: Entry) -> tuple[str, ...]:
    version, feature = entry
    return feature.named, version.words.around, feature.made_of, feature.said, version.words.said


def _guesses(word: str, features: Sequence[Entry]) -> list[str] | None:
    """Return what may be meant by a word that nothing has; None: something has it."""
    texts = {text for entry in features for text in _texts(entry)}
    if any(word in text for text in texts) or any(_is_reference(e, word) for e in features):
        return None
    if len(word) < SHORTEST_GUESSED:
        return []
    # Words two letters longer or shorter at most: the others are not worth comparing.
    known = {each for text in texts for each in text.split()}
    near = [each for each in known if abs(len(each) - len(word)) <= 2 and len(each) > 2]
    return get_close_matches(word[:SHOWN_LENGTH], near, n=MOST_GUESSES, cutoff=0.75)


def _matches(
    features: Sequence[Entry], words: Sequence[str], guessed: Mapping[str, Sequence[str]]
) -> Iterator[tuple[Entry, int, int]]:
    """Yield those that have every word, with the worst match of a word and the sum of all."""
    name = f" {'_'.join(words)} "
    for entry in features:
        worst = total = EXACT
        for word in words:
            match = _match(entry, word, guessed.get(word))
            if match is None:
                break
            worst, total = max(worst, match), total + match
        else:
            # The words of a name, each of them found, are the name.
            is_name = len(words) > 1 and name in entry.feature.named
            yield (entry, EXACT, EXACT) if is_name else (entry, worst, total)


def _match(entry: Entry, word: str, guesses: Sequence[str] | None) -> int | None:
    """Return how an entry has a word; None: it has it not."""
    if guesses is not None:
        has = any(f" {guess} " in text for guess in guesses for text in _texts(entry))
        return GUESS if has else None
    version, feature = entry
    named, around, made_of, said, prose = _texts(entry)
    whole = f" {word} "
    if named.startswith(f" {word}"):
        return EXACT if named.startswith(whole) and _is_name(feature.name, word) else PREFIX
    if whole in named:
        return NAME
    if whole in around or whole in made_of:
        return WORD
    if whole in said or whole in prose:
        return TEXT
    if any(word in text for text in (named, around, made_of, said, prose)):
        return PART
    return EXACT if _is_reference(entry, word) else None


def _is_name(name: str, word: str) -> bool:
    return len(name) == len(word) or fold(name) == word


def _is_reference(entry: Entry, word: str) -> bool:
    version, feature = entry
    return ":" in word and fold(version.reference(feature.name)) == word


def _place(found: Found) -> tuple[int, int, bool, int, str, str, str]:
    """Put better matches first; then what is read by default, and the rest by its name."""
    version, feature = found.entry
    length = len(feature.name) if found.match == PREFIX else 0
    named = (feature.name, version.view, version.project)
    return found.match, found.matches, not version.is_default, length, *named


def _narrowed(
    found: list[Found], chosen: Mapping[str, str]
) -> tuple[list[Found], dict[str, list[Value]]]:
    """Keep what has every value chosen, and count what each facet would leave, chosen otherwise."""
    kept, others = found, dict.fromkeys(chosen, found)
    for name, value in chosen.items():
        values = FACETS[name]
        having = [each for each in kept if _has(values(each), value)]
        others = {
            other: rows if other == name else [e for e in rows if _has(values(e), value)]
            for other, rows in others.items()
        }
        kept = having
    return kept, {
        name: _counted(map(values, others.get(name, kept)), chosen.get(name, ""))
        for name, values in FACETS.items()
    }


def _has(values: Iterable[str], wanted: str) -> bool:
    """``tag=domain`` asks for the key, ``tag=domain:payments`` for the pair."""
    return any(value == wanted or value.partition(":")[0] == wanted for value in values)


def _counted(values: Iterable[Iterable[str]], chosen: str) -> list[Value]:
    """Return the most frequent values, and what was chosen even if it leaves nothing."""
    counter = Counter(chain.from_iterable(values))
    del counter[""]
    listed = sorted(counter.items(), key=lambda each: (-each[1], each[0]))[:MOST_VALUES]
    if chosen and chosen not in dict(listed):
        listed.append((chosen, counter[chosen]))
    return [Value(value, count) for value, count in listed]
