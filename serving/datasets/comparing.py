"""How two versions of a dataset differ, by their manifests: in what, before, after. [pure]"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    Manifest = dict[str, Any]


#: What stands for a hash that is not told to whoever looks.
_WITHHELD = "withheld"


class Line(NamedTuple):
    """One thing of two manifests; equal things are told too, so that nothing seems left out."""

    what: str
    before: str
    after: str

    @property
    def is_equal(self) -> bool:
        return self.before == self.after and self.before != _WITHHELD


def differences(before: Manifest, after: Manifest) -> Iterator[Line]:
    """Yield each thing that says what the rows are, of one and of the other."""
    facts = {
        "rows": ("rows", "count"),
        "content of the rows": ("rows", "content_hash"),
        "content of the frame": ("frame", "content_hash"),
        "timing": ("request", "timing"),
        "engine": ("engine", "version"),
    }
    for what, path in facts.items():
        yield Line(what, *(_at(each, path) for each in (before, after)))
    yield Line("split", *(_split(each) for each in (before, after)))
    reads = (
        ("feature", _features),
        ("table of", _tables),
        ("encoding of", _encodings),
        ("inputs of", _inputs),
    )
    for what, read in reads:
        old, new = read(before), read(after)
        for name in dict.fromkeys([*old, *new]):
            yield Line(f"{what} {name}", old.get(name, "–"), new.get(name, "–"))


def _at(manifest: Manifest, path: tuple[str, str]) -> str:
    found = manifest[path[0]][path[1]]
    return _WITHHELD if found is None else str(found)


def _split(manifest: Manifest) -> str:
    split = manifest["split"]
    if not split:
        return "none"
    parts = ", ".join(f"{part['name']} {part['rows']:,}" for part in split["parts"])
    return f"by {split['by']}, seed {split['seed']}: {parts}"


def _features(manifest: Manifest) -> dict[str, str]:
    return {
        feature["name"]: f"{feature['reference']} ({feature['type']})"
        for feature in manifest["features"]
    }


def _inputs(manifest: Manifest) -> dict[str, str]:
    """Return which features, each of a version, a computed one is of."""
    return {
        f"{view['feature_view']}:{name}": ", ".join(feature["inputs"]) or "none"
        for view in manifest.get("on_demand", ())  # older ones have none
        for name, feature in view["features"].items()
    }


def _encodings(manifest: Manifest) -> dict[str, str]:
    """Return which fitting each encoded feature is of: its hash is another in each manifest."""
    return {
        f"{view['feature_view']}:{name}": view["fittings"][name]
        for view in manifest["views"]
        for name in view["parameters_sha256"]
    }


def _tables(manifest: Manifest) -> dict[str, str]:
    return {
        view["feature_view"]: f"Delta version {view['delta_version']} of {view['table']}"
        for view in manifest["views"]
    }
