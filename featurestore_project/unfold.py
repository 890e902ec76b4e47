"""The admin's name, colours and side bar, as django-unfold reads them.

Not for pages: each app has its own; the first page is ``dashboard``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.templatetags.static import static
from django.urls import reverse_lazy
from django.utils.text import format_lazy

if TYPE_CHECKING:
    from django.http import HttpRequest


def _to(name: str, query: str = "") -> Any:
    """Return a page's address, found when first shown: settings are read before there are any."""
    return format_lazy("{}{}", reverse_lazy(f"admin:{name}"), query)


def _staff(request: HttpRequest) -> bool:
    return bool(request.user.is_staff)


def _item(title: str, icon: str, page: str, **more: Any) -> dict[str, Any]:
    """Return a line of the side bar for staff; see ``registry.site`` for what others see."""
    return {"title": title, "icon": icon, "link": _to(page), "permission": _staff, **more}


def _open(title: str, icon: str, model: str) -> dict[str, Any]:
    """Return a line for everybody who may log in."""
    return {"title": title, "icon": icon, "link": _to(f"registry_{model}_changelist")}


def _superuser(request: HttpRequest) -> bool:
    return bool(request.user.is_superuser)


def _list(title: str, model: str, state: str = "", turn: str = "") -> dict[str, Any]:
    """Return one tab of the review desk: by state and whose turn it is, all without either."""
    asked = {"state": state, "turn": turn}
    query = "&".join(f"{name}={value}" for name, value in asked.items() if value)
    return {
        "title": title,
        "link": _to(model, f"?{query}"),
        "active": lambda request: all(
            request.GET.get(name, "") == value for name, value in asked.items()
        ),
    }


VERSIONS = "registry_featureviewversion_changelist"
UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Assay",
    "SITE_HEADER": "Assay",
    "SITE_SUBHEADER": "Governed features",
    "SITE_SYMBOL": "verified",
    "SITE_URL": None,
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "featurestore_project.dashboard.dashboard",
    "STYLES": [lambda request: static("registry/admin.css")],
    "SCRIPTS": [
        lambda request: static("registry/tables.js"),
        lambda request: static("registry/times.js"),
        lambda request: static("registry/reach.js"),
        lambda request: static("registry/review.js"),
        lambda request: static("registry/comments.js"),
        lambda request: static("registry/catalogue.js"),
    ],
    "SITE_FAVICONS": [
        {
            "rel": "icon",
            "type": "image/svg+xml",
            "href": lambda request: static("registry/favicon.svg"),
        }
    ],
    "BORDER_RADIUS": "6px",
    "COLORS": {
        "primary": {
            "50": "oklch(98.4% .014 180.72)",
            "100": "oklch(95.3% .051 180.80)",
            "200": "oklch(91% .096 180.43)",
            "300": "oklch(85.5% .138 181.07)",
            "400": "oklch(77.7% .152 181.91)",
            "500": "oklch(62% .118 183.50)",
            "600": "oklch(51.1% .096 186.39)",
            "700": "oklch(43.7% .078 188.22)",
            "800": "oklch(38.6% .063 188.42)",
            "900": "oklch(33% .055 190.00)",
            "950": "oklch(27.7% .046 192.52)",
        }
    },
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": [
            {
                "items": [
                    _item("Overview", "space_dashboard", "index"),
                    {
                        "title": "Review desk",
                        "icon": "fact_check",
                        "link": _to(VERSIONS, "?state=in_review"),
                        "badge": "registry.admin.review_list.waiting_badge",
                        "badge_variant": "warning",
                        "permission": _staff,
                        "active": lambda request: "/featureviewversion/" in request.path,
                    },
                    _open("Notifications", "inbox", "notification"),
                ]
            },
            {
                "title": "Catalogue",
                "separator": True,
                "items": [
                    _open("Features", "search", "feature"),
                    _open("Feature views", "table_view", "featureview"),
                    _open("Feature services", "hub", "featureservice"),
                    _open("Entities", "key", "entity"),
                    _open("Data sources", "database", "datasource"),
                ],
            },
            {
                "title": "Materialization",
                "separator": True,
                "items": [
                    _item("Runs", "play_circle", "materialization_materializationrun_changelist"),
                    _item(
                        "Schedules",
                        "schedule",
                        "materialization_materializationschedule_changelist",
                    ),
                    _item("Quarantine", "shield_lock", "materialization_quarantine_changelist"),
                    _item("Alerts", "notifications", "materialization_alert_changelist"),
                    _item(
                        "Alert channels",
                        "campaign",
                        "materialization_alertchannel_changelist",
                    ),
                    _item("Certificates", "verified", "materialization_certificate_changelist"),
                    _item("Datasets", "dataset", "serving_dataset_changelist"),
                    _item("Historical jobs", "work_history", "serving_historicaljob_changelist"),
                    _item("Streams", "stream", "materialization_streampart_changelist"),
                    _item("Dead letters", "mail_off", "materialization_deadletter_changelist"),
                    _item("Stored data", "hard_drive", "registry_featuretable_changelist"),
                ],
            },
            {
                "title": "Administration",
                "separator": True,
                "items": [
                    _item("Projects & members", "groups", "registry_project_changelist"),
                    _item(
                        "Proposals",
                        "how_to_vote",
                        "registry_proposal_changelist",
                        badge="registry.admin.proposals.waiting_badge",
                        badge_variant="warning",
                    ),
                    _item(
                        "Service accounts",
                        "smart_toy",
                        "registry_serviceaccount_changelist",
                        permission="registry.admin.service_accounts.may_manage",
                    ),
                    _item("API tokens", "vpn_key", "registry_apitoken_changelist"),
                    _open("Grants", "lock_open", "readgrant"),
                    _item(
                        "Audit",
                        "history",
                        "registry_auditentry_changelist",
                        permission="registry.admin.audit.may_read",
                    ),
                    _item(
                        "Users", "manage_accounts", "auth_user_changelist", permission=_superuser
                    ),
                ],
            },
        ],
    },
    "COMMAND": {
        "search_models": [
            "registry.featureview",
            "registry.featureservice",
            "registry.entity",
            "registry.datasource",
        ],
    },
    "TABS": [
        {
            "models": ["registry.featureviewversion"],
            "items": [
                _list("Waiting for review", VERSIONS, "in_review"),
                _list("Asked of me", VERSIONS, "in_review", "me"),
                _list("Mine", VERSIONS, "in_review", "mine"),
                _list("Overdue", VERSIONS, "in_review", "overdue"),
                _list("Drafts", VERSIONS, "draft"),
                _list("Approved", VERSIONS, "approved"),
                _list("All", VERSIONS),
            ],
        }
    ],
}
