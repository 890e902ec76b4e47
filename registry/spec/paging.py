"""How an HTTP source gives its rows in pages: a tagged union, one class a way. [pure]

Not for asking for them (``materialization.finding.http``).
"""

from __future__ import annotations

from typing import TypeAlias

from registry.spec.base import Spec


class _Paging(Spec, frozen=True, tag_field="by"):
    @property
    def by(self) -> str:
        """The word the definition has for the way."""
        return str(type(self).__struct_config__.tag)


class LinkPaging(_Paging, frozen=True, tag="link"):
    """Each answer has the address of the next page: in the field ``next``, or else as RFC 8288."""

    next: str = ""


class CursorPaging(_Paging, frozen=True, tag="cursor"):
    """Each answer has in the field ``next`` what the next request gives as ``parameter``."""

    parameter: str
    next: str


class OffsetPaging(_Paging, frozen=True, tag="offset"):
    """``parameter`` is how many rows to leave out; the page without rows is the last."""

    parameter: str


class PagePaging(_Paging, frozen=True, tag="page"):
    """``parameter`` is the number of a page, from ``first``; the one without rows is the last."""

    parameter: str
    first: int = 1


Paging: TypeAlias = LinkPaging | CursorPaging | OffsetPaging | PagePaging
