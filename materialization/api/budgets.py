"""Budgets over HTTP: what a view's tables take and may take, and saying what they may.

Not for what happens there: nothing stops, an alert tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import Instant, answers
from lib.api import API
from lib.bodies import BadBody, small_object
from lib.body_schemas import TEXT, WHOLE, object_of
from lib.clock import database_now
from lib.instants import timestamp
from materialization.budgets import uses
from materialization.growth import Growth, growth_by_view
from materialization.models import ViewBudget
from materialization.requests.budgets import Limits, set_budget
from registry import access

if TYPE_CHECKING:
    from datetime import datetime

    from rest_framework.request import Request

    from materialization.budgets import Use
    from registry.models import FeatureView


class UseAnswer(TypedDict):
    """How much of one thing is taken: bytes, or keys; a budget of 0 is none."""

    of: str
    used: int | None
    budget: int
    percent: float | None
    days_left: float | None


class BudgetAnswer(TypedDict):
    """What a view's tables may take, who said so and why, and what they do."""

    feature_view: str
    limits: dict[str, int | None]
    set_by: str | None
    set_at: Instant | None
    reason: str | None
    uses: list[UseAnswer]


#: 0 is no limit, null what the settings say for all.
LIMIT = WHOLE | {"nullable": True}


class BudgetAPI(API):
    """``{"disk_mb"?, "online_keys"?, "memory_mb"?, "reason"}``: what the view may take from now on.

    A limit is a number, 0 for none, or null for what the settings say; one left out stays.
    """

    attempt = "looking at or setting the budget of {name}"

    @extend_schema(operation_id="get_budget", responses=answers(BudgetAnswer))
    def get(self, request: Request, project: str, name: str) -> Response:
        found = access.access_feature_view(request.user, project, name)
        return Response(_output(found, at=database_now()))

    @extend_schema(
        operation_id="set_budget",
        request=object_of(**dict.fromkeys(Limits._fields, LIMIT), reason=TEXT),
        responses=answers(BudgetAnswer),
    )
    def post(self, request: Request, project: str, name: str) -> Response:
        found = access.access_feature_view(request.user, project, name)
        body = small_object(request, (*Limits._fields, "reason"))
        at = database_now()
        set_budget(
            view=found,
            limits={name: _limit(body, name) for name in Limits._fields if name in body},
            reason=_text(body, "reason"),
            actor=access.acting_user(request),
            at=at,
        )
        return Response(_output(found, at=at))


def _limit(body: dict[str, Any], name: str) -> int | None:
    value = body[name]
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise BadBody(f"{name} {str(value)[:40]!r}: write a whole number, 0 for no limit, or null.")


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    return value if isinstance(value, str) else ""


def _output(view: FeatureView, *, at: datetime) -> BudgetAnswer:
    own = ViewBudget.objects.filter(feature_view=view).select_related("set_by").first()
    growth = growth_by_view([view.pk], at=at).get(view.pk, Growth())
    return {
        "feature_view": view.name,
        "limits": {name: getattr(own, name, None) for name in Limits._fields},
        "set_by": own.set_by.get_username() if own else None,
        "set_at": timestamp(own.set_at) if own else None,
        "reason": own.reason if own else None,
        "uses": [_use(use, growth) for use in uses([view.pk]).get(view.pk, [])],
    }


def _use(use: Use, growth: Growth) -> UseAnswer:
    """Return bytes or keys; a ``budget`` of 0 is none."""
    return {
        "of": use.of,
        "used": use.used,
        "budget": use.budget,
        "percent": use.percent if use.budget else None,
        "days_left": use.days_left(growth),
    }
