"""What readers hear of by whichever door it is changed: who may come in, what they may read. [pure]

Operations tell it by ``epoch``. A shell, a script or SQL knows of none: the rows of the projects
concerned have another epoch then, which every reader asks for once in ``PLAN_CONFIRM_SECONDS``. For
``triggers``, which puts them there; not for what is refused (``guards``).
"""

from __future__ import annotations

from typing import NamedTuple

from registry.guards.words import changes


class Telling(NamedTuple):
    """One trigger: of which change of which table, and which projects' readers it concerns."""

    table: str
    event: str
    #: Of an update: the columns that matter; empty: any row that goes.
    columns: tuple[str, ...]
    projects: str

    @property
    def condition(self) -> str:
        return changes(*self.columns) if self.columns else "1 = 1"


#: As an operation on a token holds them: its own, else all that its user may see.
THROUGH_IT = """id = OLD.project_id OR (OLD.project_id IS NULL AND (id IN
    (SELECT p.content_object_id FROM registry_projectuserobjectpermission p
        WHERE p.user_id = OLD.user_id)
    OR EXISTS (SELECT 1 FROM auth_user u WHERE u.id = OLD.user_id AND u.is_superuser)))"""
OF_VIEW = """id = (SELECT v.project_id FROM registry_featureview v
    WHERE v.id = OLD.content_object_id)"""
LIMITS = ("user_id", "project_id", "revoked_at", "expires_at", "views", "rights", "networks")
VIEW_RIGHTS = "registry_featureviewuserobjectpermission"
TELLINGS = {
    "auth_user_told": Telling("auth_user", "UPDATE", ("is_active", "is_superuser"), "1 = 1"),
    "registry_token_told": Telling("registry_apitoken", "UPDATE", LIMITS, THROUGH_IT),
    "registry_token_gone": Telling("registry_apitoken", "DELETE", (), THROUGH_IT),
    "registry_right_gone": Telling(
        "registry_projectuserobjectpermission", "DELETE", (), "id = OLD.content_object_id"
    ),
    "registry_view_right_gone": Telling(VIEW_RIGHTS, "DELETE", (), OF_VIEW),
    "registry_grant_told": Telling(
        "registry_readgrant", "UPDATE", ("state",), "id = OLD.project_id"
    ),
}


def in_sqlite(name: str, telling: Telling) -> str:
    table, event, columns, projects = telling
    of = f" OF {', '.join(columns)}" if columns else ""
    return f"""CREATE TRIGGER {name} AFTER {event}{of} ON {table} WHEN {telling.condition}
        BEGIN UPDATE registry_project SET epoch = lower(hex(randomblob(8)))
        WHERE {projects}; END"""  # noqa: S608 - our own words


def body_in_postgresql(telling: Telling) -> str:
    return f""" BEGIN IF {telling.condition} THEN
        UPDATE registry_project SET epoch = substr(md5(random()::text), 1, 16)
        WHERE {telling.projects}; END IF; RETURN NULL; END """  # noqa: S608 - our own words
