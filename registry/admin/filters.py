"""List filters that offer only what the person may see: values come from the scoped rows.

Not for searching the catalogue over HTTP: ``registry.api.filters`` does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import BadRequest
from unfold.contrib.filters.admin import DropdownFilter

from registry.admin.scope import projects_with
from registry.models import Project

if TYPE_CHECKING:
    from django.db.models import QuerySet
    from django.http import HttpRequest


#: Values a filter offers at most; an address may ask for any other.
MOST_CHOICES = 500


class TextFilter(DropdownFilter):
    """A filter whose value is compared with stored text."""

    def value(self) -> str | None:
        """Return what was chosen.

        :raises BadRequest: it holds a NUL, which no stored text can, so databases refuse it.
        """
        value: str | None = super().value()
        if value is not None and "\x00" in value:
            raise BadRequest(
                f"the filter {self.parameter_name} holds a NUL; choose one of the list."
            )
        return value


class ProjectFilter(TextFilter):
    """By project, along the admin's ``project_path``."""

    title = "project"
    parameter_name = "project"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.path = model_admin.project_path
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        visible = Project.objects.filter(pk__in=projects_with(request, model_admin.view_right))
        return [(name, name) for name in visible.values_list("name", flat=True)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{f"{self.path}__name": self.value()}) if self.value() else queryset


class ColumnFilter(TextFilter):
    """By the distinct values of one column among the rows the person may see, the first of them."""

    column: ClassVar[str]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = model_admin.get_queryset(request).order_by(self.column)
        values = rows.values_list(self.column, flat=True).distinct()[:MOST_CHOICES]
        return [(str(value), str(value).replace("_", " ")) for value in values if value]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.value() else queryset


def column_filter(column: str, title: str = "") -> type[ColumnFilter]:
    """Return a filter over ``column``."""
    names = {"column": column, "parameter_name": column, "title": title or column.replace("_", " ")}
    return type(f"{column.title()}Filter", (ColumnFilter,), names)
