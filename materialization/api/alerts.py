"""Alerts over HTTP: what is wrong, and that somebody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.db.models import Q
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.bodies import small_object
from lib.clock import database_now
from lib.errors import NotFound
from lib.parameters import PAGE, one_of, paged
from materialization.api.serializers import AlertAnswer, alert_output
from materialization.choices import AlertKind, AlertState, Severity
from materialization.models import Alert
from materialization.requests.alerts import acknowledge_alert
from registry import access
from registry.scopes import told_to

if TYPE_CHECKING:
    from rest_framework.request import Request

    from materialization.models.alerts import AlertRows


class AlertNotFound(NotFound):
    code = "alert_not_found"


class AlertsAPI(API):
    """The alerts of a project, newest first; a superuser's list has the installation's too."""

    attempt = "listing alerts"
    parameters: ClassVar[dict[str, str]] = {
        "state": ", ".join(AlertState),
        "kind": ", ".join(AlertKind),
        "severity": ", ".join(Severity),
        **PAGE,
    }

    @extend_schema(
        operation_id="list_alerts",
        parameters=described(parameters),
        responses=pages(AlertAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        alerts = _alerts(request, project)
        alerts = alerts.in_state(one_of(request.query_params, "state", AlertState))
        for name, words in (("kind", AlertKind), ("severity", Severity)):
            if asked := one_of(request.query_params, name, words):
                alerts = alerts.filter(**{name: asked})
        return paged(request, alerts, alert_output)


class AcknowledgeAlertAPI(API):
    """``POST`` without a body: the caller knows of it; it stays open until its cause is gone."""

    attempt = "acknowledging alert {alert_id}"

    @extend_schema(operation_id="acknowledge_alert", request=None, responses=answers(AlertAnswer))
    def post(self, request: Request, project: str, alert_id: int) -> Response:
        alert = _alerts(request, project).filter(pk=alert_id).first()
        if alert is None:
            raise AlertNotFound(f"project {project} has no alert {alert_id}.")
        small_object(request, known=())
        actor = access.acting_user(request)
        return Response(
            alert_output(acknowledge_alert(alert=alert, actor=actor, at=database_now()))
        )


def _alerts(request: Request, project: str) -> AlertRows:
    found = access.access_project(request.user, project)
    mine = Q(project=found) | Q(project=None) if request.user.is_superuser else Q(project=found)
    related = "project", "version__feature_view", "acknowledged_by"
    seen = told_to(request.user, Alert.objects.filter(mine), "version__feature_view")
    return seen.select_related(*related)
