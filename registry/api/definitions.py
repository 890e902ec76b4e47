"""Definitions over HTTP: plan or register them, and get what is registered back.

Not for reading them: ``parsers`` does, with the line of each problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.response import Response

from lib.answer_schemas import answers, pages
from lib.api import API, described
from lib.body_schemas import TEXT, object_of
from lib.parameters import PAGE, flag, one_of, paged, stored_text
from lib.pools import Pool
from registry import access
from registry.api.definition_outputs import (
    DefinitionsAnswer,
    ExportedAnswer,
    RegisteredAnswer,
    applied_output,
    exported_output,
    registered_output,
)
from registry.api.parsers import sent_definitions
from registry.api.requests import editor_ids
from registry.choices import InStep, Right, State
from registry.looking import get_looking
from registry.operations.registration.apply import apply_definitions
from registry.operations.registration.exported import STANDING, exported, names_in
from registry.operations.registration.origins import Commit
from registry.operations.registration.registered import OPEN, registered

if TYPE_CHECKING:
    from rest_framework.request import Request


FILE = {"type": "object", "properties": {"path": TEXT, "text": TEXT}, "required": ["path", "text"]}


class DefinitionsAPI(API):
    """Plan or register definitions."""

    attempt = "registering definitions"
    pool = Pool.PLANS
    parameters: ClassVar[dict[str, str]] = {
        "dry_run": "true: plan only, store nothing",
        "submit": "true: submit the drafts for review",
        "details": "true: with what each object changes, line by line, and what that breaks",
        "look_all": "true: look at the data also of views that are registered as they are sent",
        "drafts_only": "true: refuse all but new objects, and drafts that nobody else wrote",
        "repository": "where the definitions are from, with commit",
        "commit": "the commit that is registered, as hexadecimal digits",
        "ref": "its branch or tag",
    }

    @extend_schema(
        operation_id="apply_definitions",
        parameters=described(parameters),
        request={
            "application/yaml": OpenApiTypes.STR,
            **object_of(
                files={"type": "array", "items": FILE},
                definitions={"type": "array", "items": {"type": "object"}},
            ),
        },
        responses=answers(DefinitionsAnswer),
    )
    def post(self, request: Request, project: str) -> Response:
        dry_run = flag(request.query_params, "dry_run")
        needed = Right.PLAN_FEATUREVIEW if dry_run else Right.ADD_FEATUREVIEW
        found = access.access_project(request.user, project, needed)
        changes = apply_definitions(
            sent_definitions(request),
            project=found,
            actor=access.acting_user(request),
            at=timezone.now(),
            look=get_looking(),
            editor_ids=editor_ids(request),
            dry_run=dry_run,
            submit=flag(request.query_params, "submit"),
            look_all=flag(request.query_params, "look_all"),
            drafts_only=flag(request.query_params, "drafts_only"),
            detailed=flag(request.query_params, "details"),
            commit=Commit.read(request.query_params),
        )
        told: DefinitionsAnswer = {
            "project": project,
            "dry_run": dry_run,
            "not_looked_at": sum(not each.looked_at for each in changes),
            "changes": [applied_output(each) for each in changes],
        }
        return Response(told)


class ExportAPI(API):
    """What is registered, as the definitions that say it; applied again they change nothing."""

    attempt = "exporting definitions"
    pool = Pool.PLANS
    parameters: ClassVar[dict[str, str]] = {
        "name": "objects of this name",
        "state": "views alone, by their newest version in this state",
        "unversioned": "true: without the numbers of versions",
        **PAGE,
    }

    @extend_schema(
        operation_id="export_definitions",
        parameters=described(parameters),
        responses=pages(ExportedAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        query = request.query_params
        state = one_of(query, "state", [each for each in State if each != State.RETIRED])
        versions = not flag(query, "unversioned")
        names = names_in(found, [state] if state else STANDING, name=stored_text(query, "name"))
        response = paged(request, names)
        page = exported(response.data["results"], found, state=state, versions=versions)
        response.data["results"] = [exported_output(each) for each in page]
        return response


class RegisteredAPI(API):
    """Every object that is registered, which commit said it last, and whether it still is that."""

    attempt = "comparing what is registered with commits"
    pool = Pool.PLANS
    parameters: ClassVar[dict[str, str]] = {
        "standing": "in_step with its commit, waits for somebody to agree, or drifted from it",
        **PAGE,
    }

    @extend_schema(
        operation_id="list_registered",
        parameters=described(parameters),
        responses=pages(RegisteredAnswer),
    )
    def get(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project)
        names = names_in(found, OPEN)
        standing = one_of(request.query_params, "standing", InStep)
        if standing:
            rows = [each for each in registered(names, found) if each.standing == standing]
            return paged(request, rows, registered_output)
        response = paged(request, names)
        page = registered(response.data["results"], found)
        response.data["results"] = [registered_output(each) for each in page]
        return response
