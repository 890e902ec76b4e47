"""What two versions say otherwise, value by value, and how that reads. [pure]

Not for how much a change asks of consumers (``change``) or for comparing texts (``line_changes``).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from registry.spec.fingerprints import version_content
from registry.spec.row_sql import laid_out
from registry.spec.wording import brief

if TYPE_CHECKING:
    from collections.abc import Iterator

    from registry.spec.version_spec import VersionSpec

#: The last part, or the one before it, of the paths under which SQL stands.
_SQL, _SQL_BY_NAME = {"sql", "where"}, {"conditions"}


class Difference(NamedTuple):
    """One value that differs, None where there is none; ``path`` is dotted."""

    path: str
    before: Any
    after: Any

    def texts(self) -> tuple[str, str]:
        """Return both sides as people read them: SQL laid out, the rest a line a part."""
        before, after = (self._text(value) for value in (self.before, self.after))
        if before.split("\n") == after.split("\n") and self.before != self.after:
            return _exactly(self.before), _exactly(self.after)
        return before, after

    def _text(self, value: Any) -> str:
        if value is None:
            return ""
        parts = self.path.split(".")
        is_sql = parts[-1] in _SQL or _SQL_BY_NAME.intersection(parts[-2:-1])
        return laid_out(value) if is_sql and isinstance(value, str) else brief(value)


def _exactly(value: Any) -> str:
    """Write a value so that no other one reads the same."""
    return json.dumps(value, ensure_ascii=True, indent=1, sort_keys=True)


def differences(old: VersionSpec | None, new: VersionSpec) -> list[Difference]:
    """Return each value that differs, by dotted path; lists of named things match by name."""
    before, after = version_content(old) if old else {}, version_content(new)
    for content in (before, after):
        content.pop("fittings", None)  # identities say nothing; the reason says "fitted anew"
        if "joined" in content:
            content["joined"] = {each["source"]["name"]: each for each in content["joined"]}
    return list(differ("", before, after))


def differ(path: str, before: Any, after: Any) -> Iterator[Difference]:
    """Yield what differs between two plain values that both stand at ``path``."""
    if before == after:
        return
    before, after = _by_name(before), _by_name(after)
    if isinstance(before, dict) and isinstance(after, dict):
        for key in [*before, *(key for key in after if key not in before)]:
            yield from differ(f"{path}.{key}".lstrip("."), before.get(key), after.get(key))
    else:
        yield Difference(path, _plain(before), _plain(after))


def _by_name(value: Any) -> Any:
    """Turn a list of named things into a mapping by name, so that order alone is no difference."""
    if not isinstance(value, (list, tuple)) or not value:
        return value
    if all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: item for item in value}
    return value


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value)
