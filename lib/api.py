"""What every view of the API is: it says which query parameters it takes, and refuses the others.

Not for what parameters mean (``parameters`` and each view), nor for bodies (``bodies``).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework.views import APIView

from lib.parameters import check_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request


class API(APIView):
    """A view whose callers are never ignored: who asks is looked at first, then what they ask.

    Bodies are not read before the view asks for them: by then it is known who sends them.
    """

    #: Query parameter → what it says, in the order of the documentation. Those of a list are not
    #: for adding to it.
    parameters: ClassVar[Mapping[str, str]] = {}
    #: Those of them that may be there more than once.
    repeatable: ClassVar[frozenset[str]] = frozenset()
    parser_classes = ()

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        check_parameters(request.query_params, self.taken(request.method), self.repeatable)

    def options(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # type: ignore[override]
        """Answer which methods there are; what they take is documented, not recited here."""
        return HttpResponse(
            status=HTTPStatus.NO_CONTENT, headers={"Allow": ", ".join(self.allowed_methods)}
        )

    @classmethod
    def taken(cls, method: str | None) -> Mapping[str, str]:
        """Return the parameters that a request of this method may have."""
        return {} if method == "POST" and hasattr(cls, "get") else cls.parameters


def described(
    parameters: Mapping[str, str], *, required: str = "", kind: type = str
) -> list[OpenApiParameter]:
    """Return a view's ``parameters`` for its schema; the one named ``required`` has to be sent."""
    return [
        OpenApiParameter(name, kind, description=says, required=name == required)
        for name, says in parameters.items()
    ]
