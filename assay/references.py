"""References, ``view@1.2.0`` and ``churn@3``: read where a call takes one.
Not for features, ``view@1.2.0:feature``: the server reads those.
"""

from __future__ import annotations

from typing import Any

from assay.encoding import described
from assay.errors import Invalid


def split_reference(reference: str) -> tuple[str, str | None]:
    """Split ``view@1.2.0`` into its name and version; None where no version is named."""
    name, at, version = reference.partition("@")
    if not name or (at and not version):
        example = "as in spend@1.2.0 or churn@3"
        raise Invalid(f"{reference!r} is no reference; write NAME or NAME@VERSION, {example}")
    return name, version or None


def view_of(reference: str, version: str | None) -> tuple[str, str | None]:
    """Read ``view@1.2.0``, or a view and, beside it, its version.

    :raises Invalid: both say one, or the version is no text.
    """
    _check(reference, version, str, '"1.2.0"')
    name, named = split_reference(reference)
    return name, named or version


def version_of(reference: str, version: str | None) -> tuple[str, str]:
    """Read a view with its version, as ``view_of``.

    :raises Invalid: no version is said.
    """
    name, found = view_of(reference, version)
    if found is None:
        raise Invalid(f"say which version of {name}, as in {name}@1.2.0")
    return name, found


def view_alone(reference: str, what: str, instead: str = "") -> str:
    """Read the name of a view in a call about all of its versions; ``what`` it is about.

    :raises Invalid: it names a version, which would be found nowhere.
    """
    name, version = split_reference(reference)
    if version is not None:
        other = f", or {instead} for one version" if instead else ""
        raise Invalid(f"{what} all versions of a view: write {name!r}, not {reference!r}{other}")
    return name


def dataset_of(reference: str, version: int | None) -> tuple[str, int | None]:
    """Read ``churn@3``, or a dataset's name and, beside it, its number.

    :raises Invalid: both say one, or it is no whole number.
    """
    _check(reference, version, int, "3")
    name, named = split_reference(reference)
    if named is None:
        return name, version
    if not (named.isascii() and named.isdecimal()):
        raise Invalid(f"{reference!r}: write NAME or NAME@VERSION, as in churn@3")
    return name, int(named)


def version_of_dataset(reference: str, version: int | None) -> tuple[str, int]:
    """Read a dataset with its number, as ``dataset_of``.

    :raises Invalid: no version is said.
    """
    name, found = dataset_of(reference, version)
    if found is None:
        raise Invalid(f"say which version of {name}, as in {name}@3")
    return name, found


def _check(reference: str, version: Any, kind: type, example: str) -> None:
    if version is None:
        return
    if not isinstance(version, kind) or isinstance(version, bool):
        raise Invalid(f"version is {described(version)}; write it as {example}")
    if "@" in reference:
        raise Invalid(f"{reference!r} and version={version!r} both say a version; give one")
