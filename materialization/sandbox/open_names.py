"""Names in a view's SQL that could mean two things, while its source has shown no column.

Not for names that are wrong: binding the SQL finds those.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.spec.row_sql import names_used_again

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materialization.sources.reading import OpenedSource
    from materialization.transforms.rows import Path
    from registry.spec.version_spec import VersionSpec


def open_names(spec: VersionSpec, opened: OpenedSource) -> Iterator[tuple[Path, str]]:
    """Refuse names of which only rows could tell whose they are, while there are none.

    Of rows that bring their columns with them, one that comes later may have such a name; which of
    both was meant would depend on what is read together.
    """
    sql, schema = spec.view.sql, opened.schema
    if sql is None or schema is None or schema.types or not (names := names_used_again(sql)):
        return
    named = ", ".join(map(repr, sorted(names)))
    yield (
        ("sql",),
        f"source {spec.rows_from.name!r} has no rows yet, and only they have columns: nothing tells"
        f" whether {named} is one of theirs or what the SQL calls so. Give it a name that the SQL"
        " does not use again, or send the view once there are rows.",
    )
