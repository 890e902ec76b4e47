"""Definitions over HTTP: plan or register them.

Not for reading them: ``parsers`` does, with the line of each problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.response import Response
from rest_framework.views import APIView

from lib.parameters import flag
from registry import access
from registry.api.parsers import DefinitionsParser, DefinitionsYamlParser
from registry.api.requests import editor_ids
from registry.api.serializers import applied_output
from registry.choices import Right
from registry.looking import get_looking
from registry.operations.registration.apply import apply_definitions
from registry.reading.parsing import parse_files

if TYPE_CHECKING:
    from rest_framework.request import Request

    from registry.reading.parsing import Definition


class DefinitionsAPI(APIView):
    """Plan or register definitions."""

    attempt = "registering definitions"
    parser_classes = (DefinitionsYamlParser, DefinitionsParser)

    @extend_schema(
        operation_id="apply_definitions",
        parameters=[
            OpenApiParameter("dry_run", bool, description="plan only, store nothing"),
            OpenApiParameter("submit", bool, description="submit the drafts for review"),
        ],
        request={"application/yaml": OpenApiTypes.STR, "application/json": OpenApiTypes.OBJECT},
        responses=OpenApiTypes.OBJECT,
    )
    def post(self, request: Request, project: str) -> Response:
        found = access.access_project(request.user, project, Right.ADD_FEATUREVIEW)
        dry_run = flag(request.query_params, "dry_run")
        body = cast("dict[str, list[Definition]]", request.data)
        changes = apply_definitions(
            body.get("definitions") or parse_files([]),
            project=found,
            actor=access.acting_user(request),
            at=timezone.now(),
            look=get_looking(),
            editor_ids=editor_ids(request),
            dry_run=dry_run,
            submit=flag(request.query_params, "submit"),
        )
        answer = {"project": project, "dry_run": dry_run}
        return Response(answer | {"changes": [applied_output(each) for each in changes]})
