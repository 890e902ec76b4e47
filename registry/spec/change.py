"""How much a change asks of those who use a view: a function of (old, new), with reasons. [pure]

Not for numbers (``versions``) or for who must agree (``operations.lifecycle``).
Source: the split of data and metadata changes follows sqlmesh's breaking / non-breaking categories.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from registry.choices import SENSITIVE, SENSITIVITY_ORDER, ChangeClass
from registry.spec.differences import differences
from registry.spec.encodes import decides
from registry.spec.fingerprints import data_content, version_content
from registry.spec.loosening import loosened, loosened_of_view, tightened, tightened_of_view
from registry.spec.masks import mask_words, tells_more
from registry.spec.transforms import KEYED
from registry.spec.version_spec import VersionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from registry.spec.model import FeatureSpec

Reason = tuple[ChangeClass, str]
#: The parts of a path whose changes each have a reason.
_TOLD = {"sensitivity", "checks"}
#: Strongest first; a change is as strong as its strongest reason.
STRENGTH = (
    ChangeClass.FIRST,
    ChangeClass.MAJOR,
    ChangeClass.MINOR,
    ChangeClass.GUARD,
    ChangeClass.PATCH,
)


class Change(NamedTuple):
    """``classification`` None: nothing changed. ``is_guard``: some protection was weakened."""

    classification: ChangeClass | None
    reasons: tuple[str, ...]
    is_guard: bool

    def tells_lowered(self, feature: str) -> bool:
        """Return whether it says already that a feature is less sensitive than before."""
        return any(each.startswith(f"{_moved(feature)} lowered ") for each in self.reasons)


def classify(old: VersionSpec | None, new: VersionSpec) -> Change:
    """Say what kind of change ``old`` → ``new`` is and why; without ``old`` it is the first."""
    if old is None:
        return Change(ChangeClass.FIRST, ("first version",), is_guard=False)
    reasons = [*_data_reasons(old, new), *_feature_reasons(old, new), *_serving_reasons(old, new)]
    classes = {reason for reason, _ in reasons}
    if classes <= {ChangeClass.PATCH} and _said(old) != _said(new):
        reasons += _word_reasons(old, new)
        classes.add(ChangeClass.PATCH)
    if not classes:
        return Change(None, (), is_guard=False)
    strongest = next(strength for strength in STRENGTH if strength in classes)
    return Change(strongest, tuple(text for _, text in reasons), ChangeClass.GUARD in classes)


def _said(spec: VersionSpec) -> dict[str, Any]:
    """Return what people wrote: a column more in the source, which nothing reads, is not theirs."""
    return version_content(spec.untaken)


def with_guards(change: Change, served: Mapping[str, VersionSpec], new: VersionSpec) -> Change:
    """Return ``change`` with every protection that ``new`` weakens of the ``served`` versions.

    ``served``: number → spec of versions it was not classified against.
    """
    found = {
        text: number
        for number, old in served.items()
        for reason, text in _feature_reasons(old, new)
        if reason is ChangeClass.GUARD and text not in change.reasons
    }
    return with_reasons(change, [f"{text}, against {number}" for text, number in found.items()])


def with_reasons(change: Change, weakened: Sequence[str]) -> Change:
    """Return ``change`` with further protections that are weakened, each in words."""
    if not weakened or change.classification is None:
        return change
    classes = {change.classification, ChangeClass.GUARD}
    strongest = next(strength for strength in STRENGTH if strength in classes)
    return Change(strongest, (*change.reasons, *weakened), is_guard=True)


def _data_reasons(old: VersionSpec, new: VersionSpec) -> Iterator[Reason]:
    if old.view.entities != new.view.entities:
        yield ChangeClass.MAJOR, "entities changed"
    before, after = data_content(old), data_content(new)
    names = {
        "join_keys": "join keys changed",
        "source": "source or its timestamps changed",
        "root": "place of the source's root changed",
        "where": "choice of rows (where) changed",
        "reads": "what is read of other views changed",
        **{str(kind.key): kind.changed for kind in KEYED},
        "start": "start of history changed",
        "ticks": "ticks of the aggregations changed",
        "accuracy": "accuracy of the aggregations changed",
    }
    for key, text in names.items():
        if before.get(key) != after.get(key):
            yield ChangeClass.MAJOR, text
    yield from _joined_reasons(before.get("joined", {}), after.get("joined", {}))
    if old.code is not None and new.code is not None and old.code != new.code:
        yield ChangeClass.MAJOR, f"installed package changed: {old.code} became {new.code}"
    if old.has_hashes and new.has_hashes and old.mask_key != new.mask_key:
        yield ChangeClass.MAJOR, "the project's key of hashes changed"
    for name in sorted(old.fittings.keys() & new.fittings.keys()):
        if old.fittings[name] != new.fittings[name] and _encodes_alike(old, new, name):
            yield ChangeClass.MAJOR, f"feature {name}: fitted anew"
    if old.schema is not None and new.schema is not None:
        yield from _schema_reasons(before["schema"], after["schema"])


def _joined_reasons(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Reason]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            yield ChangeClass.MAJOR, f"joined source {name} {'added' if name in new else 'removed'}"
            continue
        before, after = old[name], new[name]
        names = {
            "on": "its key changed",
            "ttl": "its ttl changed",
            "source": "it or its timestamps changed",
            "root": "its place changed",
        }
        for key, text in names.items():
            if before[key] != after[key]:
                yield ChangeClass.MAJOR, f"joined source {name}: {text}"
        if before["schema"] is not None and after["schema"] is not None:
            yield from _schema_reasons(before["schema"], after["schema"], of=f"source {name}")


def _encodes_alike(old: VersionSpec, new: VersionSpec, name: str) -> bool:
    encodes = [
        next((each.encode for each in spec.features if each.name == name), None)
        for spec in (old, new)
    ]
    before, after = (decides(each) if each else None for each in encodes)
    return before == after


def _schema_reasons(
    old: Mapping[str, Any], new: Mapping[str, Any], of: str = "source"
) -> Iterator[Reason]:
    """Columns that only one of the two reads are told of by what reads them."""
    if (old["format"], old["options"]) != (new["format"], new["options"]):
        yield ChangeClass.MAJOR, f"the {of}'s files: {old['format']} became {new['format']}"
    for name, was in old["columns"].items():
        now = new["columns"].get(name, was)
        if now != was:
            yield ChangeClass.MAJOR, f"the {of}'s column {name}: {was} became {now}"


def _feature_reasons(old: VersionSpec, new: VersionSpec) -> Iterator[Reason]:
    before = {feature.name: feature for feature in old.features}
    after = {feature.name: feature for feature in new.features}
    for name in sorted(before.keys() - after.keys()):
        yield ChangeClass.MAJOR, f"feature {name} removed"
    for name in sorted(after.keys() - before.keys()):
        sensitivity = after[name].sensitivity
        said = f", {sensitivity}" if sensitivity in SENSITIVE else ""
        if after[name].mask is not None:
            said += f", masked ({mask_words(after[name].mask)})"
        if after[name].encode is not None:
            said += f", encoded ({after[name].encode})"
        yield ChangeClass.MINOR, f"feature {name} added{said}"
    for name in [name for name in before if name in after]:
        yield from _one_feature(before[name], after[name])
    if before.keys() == after.keys() and list(before) != list(after):
        yield ChangeClass.PATCH, "features reordered"
    for check in loosened_of_view(old.view.checks, new.view.checks):
        yield ChangeClass.GUARD, f"check {check} of the view loosened"
    for check, what in tightened_of_view(old.view.checks, new.view.checks):
        yield ChangeClass.PATCH, f"check {check} of the view {what}"


def _one_feature(old: FeatureSpec, new: FeatureSpec) -> Iterator[Reason]:
    if old.value_type != new.value_type:
        yield ChangeClass.MAJOR, f"feature {new.name}: type {old.type} became {new.type}"
    if old.source_column != new.source_column:
        moved = f"{old.source_column} became {new.source_column}"
        yield ChangeClass.MAJOR, f"feature {new.name}: column {moved}"
    if old.sql != new.sql:
        yield ChangeClass.MAJOR, f"feature {new.name}: expression changed"
    yield from _mask_reasons(old, new)
    yield from _encode_reasons(old, new)
    if old.sensitivity != new.sensitivity:
        is_lower = SENSITIVITY_ORDER.index(new.sensitivity) < SENSITIVITY_ORDER.index(
            old.sensitivity
        )
        kind, word = (ChangeClass.GUARD, "lowered") if is_lower else (ChangeClass.PATCH, "raised")
        yield kind, f"{_moved(new.name)} {word} from {old.sensitivity} to {new.sensitivity}"
    for check in loosened(old.checks, new.checks):
        yield ChangeClass.GUARD, f"feature {new.name}: check {check} loosened"
    for check, what in tightened(old.checks, new.checks):
        yield ChangeClass.PATCH, f"feature {new.name}: check {check} {what}"


def _mask_reasons(old: FeatureSpec, new: FeatureSpec) -> Iterator[Reason]:
    if old.mask == new.mask:
        return
    masked = f"mask {mask_words(old.mask)} became {mask_words(new.mask)}"
    yield ChangeClass.MAJOR, f"feature {new.name}: {masked}"
    # What takes a grant that it did not take before may tell more.
    is_closed = new.sensitivity in SENSITIVE and old.sensitivity not in SENSITIVE
    if tells_more(old.mask, new.mask) and not is_closed:
        yield ChangeClass.GUARD, f"feature {new.name}: it tells more, and is {new.sensitivity}"


def _encode_reasons(old: FeatureSpec, new: FeatureSpec) -> Iterator[Reason]:
    before, after = (decides(each.encode) if each.encode else None for each in (old, new))
    if before != after:
        encoded = f"encoding {old.encoded or 'none'} became {new.encoded or 'none'}"
        yield ChangeClass.MAJOR, f"feature {new.name}: {encoded}"


def _moved(feature: str) -> str:
    return f"feature {feature}: sensitivity"


def _serving_reasons(old: VersionSpec, new: VersionSpec) -> Iterator[Reason]:
    if old.ttl != new.ttl:
        cut = new.ttl is not None and (old.ttl is None or new.ttl < old.ttl)
        text = f"ttl {old.view.ttl or 'none'} became {new.view.ttl or 'none'}"
        yield (ChangeClass.MAJOR if cut else ChangeClass.MINOR), text
    if old.view.online != new.view.online:
        yield ChangeClass.MINOR, f"online switched {'on' if new.view.online else 'off'}"
    if (before := old.view.promised_age) is not None and before != new.view.promised_age:
        after = new.view.promised_age
        if after is None or after > before:
            text = f"freshness {old.view.freshness} became {new.view.freshness or 'no promise'}"
            yield ChangeClass.GUARD, text


def _word_reasons(old: VersionSpec, new: VersionSpec) -> Iterator[Reason]:
    """Name what differs beside what has a reason of its own."""
    paths = {each.path.split("[")[0] for each in differences(old, new)}
    if words := sorted(path for path in paths if not _TOLD.intersection(path.split("."))):
        yield ChangeClass.PATCH, f"words changed: {', '.join(words)}"
