"""Calls about definitions: register them, plan them, look them up.
Not for what happens to a version afterwards; that is lifecycle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assay.calls import Calls
from assay.definitions import body_of
from assay.errors import NotFound
from assay.notebooks import Plan
from assay.objects import Definition, definition_of
from assay.references import split_reference, version_of, view_alone
from assay.shapes import JSON, Definitions, Listed


class CatalogueCalls(Calls):
    """The project's definitions. Lists take the API's filters: ``q``, ``tag``, ``owner``, …"""

    def apply(
        self,
        files_or_objects: Definitions,
        *,
        plan: bool = False,
        submit: bool = False,
        look_all: bool = False,
        details: bool = False,
        drafts_only: bool = False,
        repository: str | None = None,
        commit: str | None = None,
        ref: str | None = None,
    ) -> Plan:
        """Register definitions: paths of YAML or JSON files or folders, objects
        as in ``assay.FeatureView(…)``, or dicts.

        ``plan`` changes nothing and tells what would change; ``submit`` also sends the new
        drafts to review. The data of views that are registered as they are sent are looked at
        with ``look_all`` only. Answers ``{"project", "dry_run", "not_looked_at", "changes"}``; with
        ``repository``, ``commit`` and ``ref`` say what is applied; each object keeps them. With
        ``details`` each change has its ``file``, ``line``, ``differences`` and what it ``breaks``.
        ``drafts_only`` refuses all but what is new and drafts of views that nobody else wrote.

        :raises InvalidDefinition: one entry in ``errors`` for each thing that is wrong.
        """
        asked = {"dry_run": plan, "submit": submit, "look_all": look_all, "details": details}
        asked["drafts_only"] = drafts_only
        query: dict[str, Any] = {name: True for name, wanted in asked.items() if wanted}
        query |= {"repository": repository, "commit": commit, "ref": ref}
        answer = self._post_to_look("definitions", value=body_of(files_or_objects), query=query)
        return Plan(answer)

    def plan(
        self, files_or_objects: Definitions, *, submit: bool = False, look_all: bool = False
    ) -> Plan:
        """Tell what :meth:`apply` would change, in detail and for whom, and change nothing."""
        return self.apply(
            files_or_objects, plan=True, submit=submit, look_all=look_all, details=True
        )

    def export(
        self,
        names: Sequence[str] = (),
        *,
        state: str | None = None,
        unversioned: bool = False,
    ) -> list[JSON]:
        """Give what is registered as ``{"kind", "name", "version", "state", "definition", …}``.

        ``definition`` is YAML: applied again it changes nothing. Of a view it says the highest
        version that was submitted and is not retired; with ``state`` views alone, by their newest
        version in it. ``unversioned`` leaves the numbers of versions out. ``document`` is the same
        as a dict.

        :raises NotFound: one of the names is nothing that is registered.
        """
        query = {"state": state, "unversioned": unversioned or None}
        names = [view_alone(each, "an export is of", "get_feature_view") for each in names]
        if not names:
            return self._list("definitions", "export", query=query)
        found: list[JSON] = []
        for name in names:
            of_name = self._list("definitions", "export", query={**query, "name": name})
            if not of_name:
                what = f"in the state {state}" if state else "that is registered"
                raise NotFound(f"there is nothing of the name {name!r} {what}", name=name)
            found += of_name
        return found

    def get_definitions(
        self, names: Sequence[str] = (), *, state: str | None = None, unversioned: bool = False
    ) -> list[Definition]:
        """Give what :meth:`export` gives as objects; applied again they change nothing.

        :raises NotFound: one of the names is nothing that is registered.
        """
        found = self.export(names, state=state, unversioned=unversioned)
        return [definition_of(each["document"]) for each in found]

    def registered(self, *, standing: str | None = None) -> Listed:
        """Give every object with the commit that said it last as ``origin``, if one ever did.

        ``standing`` is ``in_step`` with it, ``waits`` for somebody to agree, or has ``drifted``.
        """
        return self._list("definitions", "registered", query={"standing": standing})

    def list_entities(self, /, *, limit: int | None = None, **filters: Any) -> Listed:
        return self._list("entities", query=filters, limit=limit)

    def list_data_sources(self, /, *, limit: int | None = None, **filters: Any) -> Listed:
        return self._list("data-sources", query=filters, limit=limit)

    def list_roots(self) -> Listed:
        """Give the roots that sources can name; ``path`` is there for the project's owners."""
        return self._list("roots")

    def list_connections(self) -> Listed:
        """Give the connections that sources can name, with what came of the last try of each.

        ``address``, where one leads, is there for who writes definitions, or runs them.
        """
        return self._list("connections")

    def test_connection(self, name: str) -> JSON:
        """Have the server ask a connection's system whether it answers: ``ok``, or ``error``.

        :raises NotFound: the project has no such connection.
        """
        tried: JSON = self._post("connections", name, "test", value={})
        return tried

    def list_feature_views(self, /, *, limit: int | None = None, **filters: Any) -> Listed:
        return self._list("feature-views", query=filters, limit=limit)

    def list_feature_services(self, /, *, limit: int | None = None, **filters: Any) -> Listed:
        return self._list("feature-services", query=filters, limit=limit)

    def get_entity(self, name: str) -> JSON:
        entity: JSON = self._get("entities", name)
        return entity

    def get_data_source(self, name: str) -> JSON:
        source: JSON = self._get("data-sources", name)
        return source

    def get_feature_view(self, name: str) -> JSON:
        """Give the view with its newest versions and the features of its default version.

        Of ``view@1.2.0`` that version, as :meth:`get_feature_view_version` gives it.
        """
        view, version = split_reference(name)
        if version is not None:
            return self.get_feature_view_version(name)
        found: JSON = self._get("feature-views", view)
        return found

    def list_versions(
        self, name: str, *, state: str | None = None, limit: int | None = None
    ) -> Listed:
        """Give the versions of a view, in one state or in any: drafts first, then the highest."""
        view = view_alone(name, "list_versions lists", "get_feature_view")
        return self._list("feature-views", view, "versions", query={"state": state}, limit=limit)

    def get_feature_view_version(self, name: str, version: str | None = None) -> JSON:
        """Give ``view@1.2.0`` with its canonical spec and fingerprints."""
        view, named = version_of(name, version)
        found: JSON = self._get("feature-views", view, "versions", named)
        return found

    def get_feature_service(self, name: str) -> JSON:
        service: JSON = self._get("feature-services", name)
        return service
