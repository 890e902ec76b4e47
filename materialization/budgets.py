"""What the tables of each view take together, against what they may.

Not for setting what they may (``requests.budgets``) or for telling of it (``requests.watch``).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.template.defaultfilters import filesizeformat

from materialization.choices import Budgeted
from materialization.growth import Growth, days_until
from materialization.models import TableSize, ViewBudget
from registry.models import FeatureTable

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.db.models import QuerySet

#: Bytes in a megabyte, as pages show sizes.
MEGABYTE = 1 << 20


class Use(NamedTuple):
    """What a view takes of one thing, in bytes or keys, and may take; zero: as much as it likes.

    ``used`` None: the store did not say yet.
    """

    of: Budgeted
    used: int | None
    budget: int

    @property
    def percent(self) -> int:
        return 100 * (self.used or 0) // self.budget if self.budget else 0

    @property
    def is_near(self) -> bool:
        return bool(self.budget) and self.percent >= settings.BUDGET_NEAR_PERCENT

    def days_left(self, growth: Growth) -> int | None:
        """Return in how many days the budget is met as the view grows; None: never, or unknown."""
        if not self.budget or self.used is None:
            return None
        return days_until(self.budget, self.used, getattr(growth, self.of))


def budgeted_views() -> set[int] | None:
    """Return the views with a budget of their own; None: every view has one, by the settings."""
    if any(_defaults().values()):
        return None
    return set(ViewBudget.objects.values_list("feature_view", flat=True))


def uses(views: Collection[int] | None = None) -> dict[int, list[Use]]:
    """Return of each of the views (None: all) with a table what it takes and may; two questions.

    Of each table what was measured last counts, however long ago that was.
    """
    taken: dict[int, dict[Budgeted, int | None]] = defaultdict(lambda: dict.fromkeys(Budgeted))
    for view, *sizes in _latest(views):
        for of, size in zip(Budgeted, sizes, strict=True):
            if size is not None:
                taken[view][of] = (taken[view][of] or 0) + size
    budgets = ViewBudget.objects.filter(feature_view__in=taken)
    own = {budget.feature_view_id: budget for budget in budgets}
    return {
        view: [Use(of, found[of], limit) for of, limit in budget_of(own.get(view)).items()]
        for view, found in taken.items()
    }


def _latest(
    views: Collection[int] | None,
) -> QuerySet[FeatureTable, tuple[int, int | None, int | None, int | None]]:
    tables = FeatureTable.objects.filter(stored_version__gte=0)
    tables = tables if views is None else tables.filter(feature_view__in=views)
    sizes = TableSize.objects.filter(table=OuterRef("pk")).order_by("-day")
    said = sizes.filter(online_keys__isnull=False)
    return tables.order_by().values_list(
        "feature_view",
        Subquery(sizes.values("offline_bytes")[:1]),
        Subquery(said.values("online_keys")[:1]),
        Subquery(said.values("online_bytes")[:1]),
    )


def budget_of(own: ViewBudget | None) -> dict[Budgeted, int]:
    """Return what a view may take, in bytes, keys and bytes; zero: as much as it likes."""
    if own is None:
        return _defaults()
    disk, memory = (_bytes(each) for each in (own.disk_mb, own.memory_mb))
    set_here = {Budgeted.DISK: disk, Budgeted.KEYS: own.online_keys, Budgeted.MEMORY: memory}
    return _defaults() | {of: limit for of, limit in set_here.items() if limit is not None}


def _defaults() -> dict[Budgeted, int]:
    return {
        Budgeted.DISK: settings.VIEW_DISK_MB * MEGABYTE,
        Budgeted.KEYS: settings.VIEW_ONLINE_KEYS,
        Budgeted.MEMORY: settings.VIEW_MEMORY_MB * MEGABYTE,
    }


def _bytes(megabytes: int | None) -> int | None:
    return None if megabytes is None else megabytes * MEGABYTE


def budget_in_words(use: Use, growth: Growth) -> str:
    """Say what of a budget is used, and how long the rest lasts."""
    days, used = use.days_left(growth), amount(use.of, use.used or 0)
    lasts = f", the rest lasts {days} day{'s' * (days > 1)} as it grows" if days else ""
    return f"{use.of}: {used} of {amount(use.of, use.budget)} ({use.percent} %){lasts}"


def amount(of: Budgeted, value: float) -> str:
    """Return so many keys, or bytes, in words."""
    return f"{value:,.0f} keys" if of is Budgeted.KEYS else filesizeformat(value)
