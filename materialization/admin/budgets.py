"""What a view's tables take together, on the view's page: budget, growth and forecast; setting it.

Not for single tables: ``stored`` lists those.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings
from django.db.models import Max
from django.http import Http404, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_POST

from materialization.budgets import amount, uses
from materialization.choices import Budgeted
from materialization.growth import OVER, Growth, growth_by_view
from materialization.models import TableSize, ViewBudget
from materialization.requests.budgets import MOST, BadBudget, Limits, set_budget
from materialization.requests.reasons import MAX_REASON
from registry import access
from registry.admin.attempts import attempt, refuse
from registry.admin.forms import StyledForm
from registry.admin.scope import can_press, projects_with
from registry.choices import Right
from registry.denials import attempting
from registry.models import FeatureView

if TYPE_CHECKING:
    from datetime import date

    from django.http import HttpRequest, HttpResponse

    from materialization.budgets import Use

TITLES = {
    Budgeted.DISK: "Offline store, disk",
    Budgeted.KEYS: "Online store, keys",
    Budgeted.MEMORY: "Online store, memory",
}
#: Beyond this a forecast says little.
FORESEEN_DAYS = 1000


class BudgetForm(StyledForm):
    disk_mb = forms.IntegerField(
        label="Megabytes on disk", min_value=0, max_value=MOST, required=False
    )
    online_keys = forms.IntegerField(
        label="Keys online", min_value=0, max_value=MOST, required=False
    )
    memory_mb = forms.IntegerField(
        label="Megabytes of memory online", min_value=0, max_value=MOST, required=False
    )
    reason = forms.CharField(label="Why", max_length=MAX_REASON)

    @property
    def limits(self) -> dict[str, int | None]:
        return {name: self.cleaned_data[name] for name in Limits._fields}


def budget_panel(request: HttpRequest, feature_view: FeatureView) -> str:
    """Show what a view with stored rows takes, and let those who may say what it may take."""
    today = timezone.now().date()
    found = uses([feature_view.pk]).get(feature_view.pk)
    if found is None:
        return ""
    growth = growth_by_view([feature_view.pk], at=timezone.now()).get(feature_view.pk, Growth())
    sizes = TableSize.objects.filter(table__feature_view=feature_view)
    budget = ViewBudget.objects.filter(feature_view=feature_view).select_related("set_by").first()
    context = {
        "feature_view": feature_view,
        "lines": [_line(use, growth, today) for use in found],
        "measured": sizes.aggregate(last=Max("day"))["last"],
        "budget": budget,
        "near": settings.BUDGET_NEAR_PERCENT,
        "over": OVER.days,
        "may_set": can_press(request, Right.APPROVE_FEATUREVIEW, feature_view),
        "form": BudgetForm(
            initial={name: getattr(budget, name, None) for name in Limits._fields},
            auto_id="budget-%s",
        ),
    }
    return render_to_string("materialization/admin/budget_panel.html", context, request=request)


def _line(use: Use, growth: Growth, today: date) -> dict[str, Any]:
    a_day: float | None = getattr(growth, use.of)
    sign = "−" if (a_day or 0) < 0 else "+"
    return {
        "title": TITLES[use.of],
        "used": "not known" if use.used is None else amount(use.of, use.used),
        "a_day": "–" if a_day is None else f"{sign}{amount(use.of, abs(a_day))}",
        "budget": amount(use.of, use.budget) if use.budget else "none",
        "share": f"{use.percent} %" if use.budget else "",
        "is_near": use.is_near,
        "met": met_on(use, growth, today),
    }


def met_on(use: Use, growth: Growth, today: date) -> str:
    """Say on which day a budget is met as the view grows."""
    if use.budget and (use.used or 0) >= use.budget:
        return "met"
    days = use.days_left(growth)
    if days is None:
        return "–"
    if days > FORESEEN_DAYS:
        return f"not within {FORESEEN_DAYS:,} days"
    return f"{today + timedelta(days=days):%Y-%m-%d}"


@require_POST
@attempting("setting a budget")
def set_from_page(request: HttpRequest, view_id: int) -> HttpResponse:
    """Set what a view may take, from the form on its page."""
    visible = projects_with(request)
    view = FeatureView.objects.select_related("project").filter(pk=view_id).first()
    if view is None or view.project_id not in visible:
        raise Http404
    form = BudgetForm(request.POST)
    if form.is_valid():
        actor = access.acting_user(request)
        change = partial(
            set_budget, view=view, limits=form.limits, reason=form.cleaned_data["reason"],
            actor=actor, at=timezone.now(),
        )  # fmt: skip
        attempt(request, change, done=f"{view} is held to this budget from now on.")
    else:
        problems = form.errors.items()
        said = "; ".join(f"{name}: {' '.join(map(str, words))}" for name, words in problems)
        refuse(request, BadBudget(said))
    return HttpResponseRedirect(resolve_url("admin:registry_featureview_change", view.pk))
