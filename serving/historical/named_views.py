"""Views under names of a request's own, and join keys under a frame's own names. [pure]

Not for what references mean (``serving.names``) or whether a view may be read (``plan``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from lib.errors import SHOWN_LENGTH, did_you_mean
from materialization.stores.columns import EVENT
from serving.request_body import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from registry.models import FeatureViewVersion

_MAX_NAME = 63
_NAME = re.compile(r"[A-Za-z](?!.*__)[A-Za-z0-9_]*")


class NamedView(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which view a name stands for (None: the view of that name), and its keys in the frame.

    ``join_keys``: join key → the column of the frame that has it; others have their own name.
    """

    view: str | None = None
    join_keys: dict[str, str] = {}


def check_names(views: Mapping[str, NamedView], *, of_service: bool) -> None:
    """Return if the names can stand in references and columns be read by what they map to.

    :raises BadRequest: naming what cannot; ``of_service``: what would change what a service reads.
    """
    for name, named in views.items():
        if of_service and named.view not in (None, name):
            raise BadRequest(
                f"views: {name}: a feature service says itself which views it reads; leave out"
                ' "view", or ask for features.',
                name=name[:SHOWN_LENGTH],
            )
        if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
            raise BadRequest(
                f"views: {name[:SHOWN_LENGTH]!r} cannot stand in a reference; a name has a letter,"
                f" then letters, digits and single underscores, at most {_MAX_NAME}.",
                name=name[:SHOWN_LENGTH],
            )
        if named.view is not None and not _NAME.fullmatch(named.view):
            raise BadRequest(
                f"views: {name}: {named.view[:SHOWN_LENGTH]!r} is no name of a view; a version"
                f" stands in the reference, as in {name}@1.2.0:feature.",
                name=name,
            )
        for key, column in named.join_keys.items():
            if column == EVENT or "\x00" in column + key:
                raise BadRequest(
                    f"views: {name}: join key {key[:SHOWN_LENGTH]!r} cannot be in the column"
                    f" {column[:SHOWN_LENGTH]!r}; name the column that has its values.",
                    name=name,
                )


def stored_names(views: Mapping[str, NamedView]) -> dict[str, str]:
    """Return name in the request → the view it stands for."""
    return {name: named.view or name for name, named in views.items()}


def check_used(views: Mapping[str, NamedView], asked: set[str]) -> None:
    """Return if each name is that of a view that is asked for.

    :raises BadRequest: naming one that is not, which would change nothing.
    """
    for name in views:
        if name not in asked:
            raise BadRequest(
                f"views: no feature that is asked for is of {name!r}.{did_you_mean(name, asked)}",
                name=name,
            )


def columns_of_keys(version: FeatureViewVersion, name: str, named: NamedView) -> dict[str, str]:
    """Return join key → the frame's column that has it, for each of the version's keys.

    :raises BadRequest: a key the version does not have, or one column for two keys.
    """
    keys = [key.name for key in version.spec.join_keys]
    for key in named.join_keys:
        if key not in keys:
            raise BadRequest(
                f"views: {name}: {version} has no join key {key[:SHOWN_LENGTH]!r}."
                f"{did_you_mean(key, keys)}",
                name=name,
                join_keys=keys,
            )
    columns = {key: named.join_keys.get(key, key) for key in keys}
    first: dict[str, str] = {}
    for key, column in columns.items():
        if column in first:
            raise BadRequest(
                f"views: {name}: join keys {first[column]!r} and {key!r} would both be read from"
                f" the column {column!r}. Name a column for each.",
                name=name,
            )
        first[column] = key
    return columns
