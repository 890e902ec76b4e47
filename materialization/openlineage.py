"""A run as OpenLineage tells it: what it reads and makes, and which column comes from which. [pure]

Not for sending it (``runner.telling``). Names are those of the project, never where a root is; no
value of the data is in an event. Source: OpenLineage 2-0-2, https://openlineage.io/spec.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from registry.spec.lineage import origins_of
from registry.spec.sql_lineage import SourceField
from registry.spec.transforms import Aggregations, Python, RowSql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from registry.spec.lineage import Origin
    from registry.spec.references import Reference
    from registry.spec.version_spec import VersionSpec

PRODUCER = "urn:assay:server"
SPEC = "https://openlineage.io/spec"
EVENT = f"{SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
#: Columns in all that an event names; a version of more is told without them.
MOST_FIELDS = 20_000
MAX_MESSAGE = 2_000


class EventType(StrEnum):
    START = "START"
    COMPLETE = "COMPLETE"
    FAIL = "FAIL"
    ABORT = "ABORT"


class Told(NamedTuple):
    """What an event says of a run beside its version's definition."""

    namespace: str
    project: str
    view: str
    version: str
    run: int
    requested_at: datetime
    window_end: datetime
    kind: str
    rows: int | None = None
    error: str = ""


def event(kind: EventType, told: Told, spec: VersionSpec, *, at: datetime) -> dict[str, Any]:
    """Return one event of a run of a stored version."""
    return {
        "eventType": kind,
        "eventTime": at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": EVENT,
        "run": {"runId": run_id(told), "facets": _run_facets(kind, told)},
        "job": {
            "namespace": told.namespace,
            "name": f"{told.project}.{told.view}.materialize",
            "facets": _job_facets(spec),
        },
        "inputs": [
            *_sources_read(told, spec),
            *_views_read(told, spec),
        ],
        "outputs": [_output(told, spec)],
    }


def run_id(told: Told) -> str:
    """Return the same id for all events of a run, and no other's."""
    named = f"{told.namespace}/{told.project}/{told.run}/{told.requested_at.isoformat()}"
    return str(uuid5(NAMESPACE_URL, named))


def _facet(name: str, version: str, /, **said: Any) -> dict[str, Any]:
    url = f"{SPEC}/facets/{version}/{name}.json"
    return {"_producer": PRODUCER, "_schemaURL": url, **said}


def _run_facets(kind: EventType, told: Told) -> dict[str, Any]:
    facets = {
        "nominalTime": _facet(
            "NominalTimeRunFacet", "1-0-1", nominalStartTime=told.window_end.isoformat()
        ),
        "processing_engine": _facet(
            "ProcessingEngineRunFacet", "1-1-1", name="assay", version="1", runKind=told.kind
        ),
    }
    if kind == EventType.FAIL:
        facets["errorMessage"] = _facet(
            "ErrorMessageRunFacet", "1-0-1",
            message=told.error[:MAX_MESSAGE], programmingLanguage="python",
        )  # fmt: skip
    return facets


def _job_facets(spec: VersionSpec) -> dict[str, Any]:
    facets = {
        "jobType": _facet(
            "JobTypeJobFacet",
            "2-0-3",
            processingType="BATCH",
            integration="ASSAY",
            jobType="MATERIALIZATION",
        )  # fmt: skip
    }
    if spec.view.description:
        words = spec.view.description[:MAX_MESSAGE]
        facets["documentation"] = _facet("DocumentationJobFacet", "1-0-1", description=words)
    if spec.view.sql:
        facets["sql"] = _facet("SQLJobFacet", "1-0-1", query=spec.view.sql)
    return facets


def _sources_read(told: Told, spec: VersionSpec) -> Iterator[dict[str, Any]]:
    for each in (spec, *spec.sides):
        name = f"{told.project}.{each.view.source}"
        yield {"namespace": told.namespace, "name": name, "facets": _input_facets(each)}


def _input_facets(spec: VersionSpec) -> dict[str, Any]:
    columns = spec.schema.columns if spec.schema else ()
    fields = [{"name": each.name, "type": each.type} for each in columns[:MOST_FIELDS]]
    return {"schema": _facet("SchemaDatasetFacet", "1-1-1", fields=fields)} if fields else {}


def _views_read(told: Told, spec: VersionSpec) -> Iterator[dict[str, Any]]:
    """Yield what is read of other views, by the names that their own runs give as outputs."""
    for read in spec.reads:
        fields = [{"name": name, "type": kind} for name, kind in read.features.items()]
        facets = {
            "schema": _facet("SchemaDatasetFacet", "1-1-1", fields=fields[:MOST_FIELDS]),
            "version": _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=read.version),
        }
        yield {
            "namespace": told.namespace,
            "name": f"{read.project}.{read.view}",
            "facets": facets,
        }


def _output(told: Told, spec: VersionSpec) -> dict[str, Any]:
    facets = {
        "schema": _facet("SchemaDatasetFacet", "1-1-1", fields=_fields(spec)),
        "version": _facet("DatasetVersionDatasetFacet", "1-0-1", datasetVersion=told.version),
    }
    origins = origins_of(spec)
    own = spec.view.source
    fields = ((each.fields(own), each.filters(own)) for each in origins.values())
    if sum(len(made) + len(chosen) for made, chosen in fields) <= MOST_FIELDS:
        facets["columnLineage"] = _column_lineage(told, spec, origins)
    output: dict[str, Any] = {
        "namespace": told.namespace,
        "name": f"{told.project}.{told.view}",
        "facets": facets,
    }
    if told.rows is not None:
        statistics = _facet("OutputStatisticsOutputDatasetFacet", "1-0-2", rowCount=told.rows)
        output["outputFacets"] = {"outputStatistics": statistics}
    return output


def _fields(spec: VersionSpec) -> list[dict[str, str]]:
    keys = [{"name": key.name, "type": key.type} for key in spec.join_keys]
    return keys + [
        {"name": each.name, "type": each.type, "description": each.description[:MAX_MESSAGE]}
        for each in spec.features
    ]


def _column_lineage(told: Told, spec: VersionSpec, origins: Mapping[str, Origin]) -> dict[str, Any]:
    def field(of: SourceField, kind: str, subtype: str, masked: str = "") -> dict[str, Any]:
        made = {"type": kind, "subtype": subtype, "description": masked, "masking": bool(masked)}
        return {
            "namespace": told.namespace, "name": f"{told.project}.{of.source}", "field": of.column,
            "transformations": [made],
        }  # fmt: skip

    def read(reference: Reference, masked: str) -> dict[str, Any]:
        of = SourceField(reference.view, reference.feature)
        return field(of, "DIRECT", "TRANSFORMATION", masked)

    own = spec.view.source
    subtype, masks = _subtype(spec), {each.name: each.masked for each in spec.features}
    made = {each.name for each in spec.features if each.masked or each.encoded}
    chosen_by = sorted({column for each in origins.values() for column in each.filters(own)})
    return _facet(
        "ColumnLineageDatasetFacet", "1-2-0",
        fields={
            name: {
                "inputFields": [
                    field(c, "DIRECT", "TRANSFORMATION" if name in made else subtype, masks[name])
                    for c in sorted(origin.fields(own))
                ]
                + [read(each, masks[name]) for each in origin.features]
            }
            for name, origin in origins.items()
        },
        dataset=[field(column, "INDIRECT", "FILTER") for column in chosen_by],
    )  # fmt: skip


def _subtype(spec: VersionSpec) -> str:
    if isinstance(spec.transform, Aggregations):
        return "AGGREGATION"
    is_made = isinstance(spec.transform, (RowSql, Python))
    return "TRANSFORMATION" if is_made else "IDENTITY"
