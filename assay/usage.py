"""Calls about usage: who read which features, how often and how fast.
Not for who did what else; the trail says that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from assay import notebooks
from assay.calls import Calls
from assay.references import view_of
from assay.shapes import JSON, Listed

#: What can be told apart.
BY = ("view", "version", "feature", "through", "service", "reader", "door", "day")


class Usage(Listed):
    """Rows of who read what, and what they are rows of.

    ``sees``: ``all`` reads that there were, or your ``own``. ``since`` and ``counted_until``: reads
    of between are here; None where the server cannot say until when. ``kept_days``: how long reads
    are kept. ``dropped``: reads of all projects that had no room; None where nobody can say now.
    """

    def __init__(self, rows: Iterable[JSON], answer: JSON) -> None:
        super().__init__(rows, answer["count"])
        self.sees: str = answer["sees"]
        self.since: str = answer["since"]
        self.counted_until: str | None = answer["counted_until"]
        self.kept_days: int = answer["kept_days"]
        self.dropped: int | None = answer["dropped"]

    @property
    def about(self) -> str:
        """Whose reads are told, of which time, and whether some are missing: in words."""
        whose = "all reads" if self.sees == "all" else "your own reads"
        until = self.counted_until or "an instant that cannot be told now"
        said = [f"{whose} from {self.since} to {until}, kept for {self.kept_days} days"]
        if self.dropped is None:
            said.append("whether reads had no room cannot be told now")
        elif self.dropped:
            said.append(f"{self.dropped:,} reads of the server had no room and are missing")
        return "; ".join(said) + "."

    def _repr_html_(self) -> str:
        columns = list(self[0]) if self else []
        rows = [[row.get(c) for c in columns] for row in self[: notebooks.MOST_ROWS]]
        return notebooks.table(columns, rows, of=self.total) + notebooks.line(self.about)

    def to_dict(self) -> JSON:
        """Give the rows as ``results``, beside what is said of them."""
        return {**vars(self), "results": list(self)}


class UsageCalls(Calls):
    """Rows: dicts with what is told apart, and ``reads``, ``rows``, ``statuses``, ``seconds``."""

    def usage(
        self,
        reference: str | None = None,
        *,
        version: str | None = None,
        feature: str | None = None,
        state: str | None = None,
        service: str | None = None,
        reader: str | None = None,
        days: int | None = None,
        by: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Usage:
        """Add up the reads of ``days`` (30), the most first, apart by what ``by`` names.

        ``reference`` is a view, ``view@1.2.0`` or ``view:feature``; ``state`` is what versions are
        now, as ``deprecated``. Without the right to see the trail or to change the view it is your
        own reads (``sees`` of the answer says which). A read is here about a minute later.
        """
        query = {
            **_named(reference, version, feature),
            "state": state,
            "service": service,
            "reader": reader,
            "days": days,
            "by": ",".join(by) if by is not None else None,
        }
        first, rows = self._listed(self._transport.project_path("usage"), query, limit)
        return Usage(rows, first)

    def usage_samples(
        self,
        reference: str,
        *,
        version: str | None = None,
        feature: str | None = None,
        days: int | None = None,
        most: int = 100,
    ) -> JSON:
        """Read the newest values that online reads of a feature answered, ``most`` at most.

        ``reference`` is ``view:feature`` or ``view@1.2.0:feature``. There are some where the
        project has them sampled. Each of ``samples`` has ``version``, ``at``, ``status`` and
        ``value``, which is absent where it was too long to be kept; ``samples_dropped`` is how many
        values of the view had no room. ``compared`` has a line for each version: how far the newest
        20,000 lie from its baseline (``drift`` by measure, ``why_not``: why there is no more), and
        on how many ``samples`` since when that rests. Never of confidential or restricted features,
        nor of what is computed of them at the request.
        """
        query = {**_named(reference, version, feature), "days": days, "samples": most, "limit": 1}
        found = self._get("usage", query=query)
        return {name: found[name] for name in ("samples", "samples_dropped", "compared")}


def _named(
    reference: str | None, version: str | None, feature: str | None
) -> dict[str, str | None]:
    """Return what a reference names, beside what is named apart."""
    if reference is None:
        return {"view": None, "version": version, "feature": feature}
    named, colon, of_it = reference.partition(":")
    view, version = view_of(named, version)
    return {"view": view, "version": version, "feature": of_it if colon else feature}
