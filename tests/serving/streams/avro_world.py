"""A registry of schemas as its HTTP answers, and records in Avro as its clients write them."""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

from fastavro import parse_schema, schemaless_writer

from tests.sites import TOKEN, Asked, Said

if TYPE_CHECKING:
    from tests.brokers import Broker
    from tests.sites import Site

TRIP: dict[str, Any] = {
    "type": "record",
    "name": "Trip",
    "namespace": "rides",
    "fields": [
        {"name": "driver_id", "type": "long"},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "fare", "type": ["null", "double"]},
        {"name": "city", "type": {"type": "enum", "name": "City", "symbols": ["Bern", "Thun"]}},
    ],
}
#: As it is some releases later: a field more, in another order.
TRIP_2 = {**TRIP, "fields": [{"name": "seats", "type": ["null", "int"]}, *TRIP["fields"]]}
#: And as a view cannot be made of it.
TRIP_3 = {**TRIP, "fields": [each for each in TRIP["fields"] if each["name"] != "fare"]}


#: One that refers to another of the registry.
CITY = {"type": "enum", "name": "City", "namespace": "geo", "symbols": ["Bern", "Thun"]}
TRIP_4 = {**TRIP, "fields": [*TRIP["fields"][:3], {"name": "city", "type": "geo.City"}]}
#: One that says what is read where a record has no such field.
_FARE, _SEATS = {"type": "double", "default": 9.5}, {"type": "int", "default": 7}
TRIP_5 = {
    **TRIP_3,
    "fields": [*TRIP_3["fields"], {"name": "fare", **_FARE}, {"name": "seats", **_SEATS}],
}


class Schemas:
    """Gives each schema an id; asked for without its token it says 401."""

    def __init__(self, site: Site) -> None:
        self.site, self.url = site, f"{site.url}/registry"
        self.is_away = False

    def put(self, number: int, schema: Any, **more: Any) -> None:
        said = {"schema": schema if isinstance(schema, str) else json.dumps(schema), **more}
        self._put(f"/schemas/ids/{number}", said)

    def subject(self, name: str, schema: Any, version: str = "latest", **more: Any) -> None:
        said = {"subject": name, "version": 3, "id": 9, "schema": json.dumps(schema), **more}
        self._put(f"/subjects/{name}/versions/{version}", said)

    def lacks(self, number: int) -> None:
        said = {"error_code": 40403, "message": "Schema not found"}
        self._put(f"/schemas/ids/{number}", said, 404)

    def lacks_subject(self, name: str) -> None:
        said = {"error_code": 40401, "message": "Subject not found"}
        self._put(f"/subjects/{name}/versions/latest", said, 404)

    def asked(self, number: int) -> int:
        """Return how often an id was asked for."""
        return sum(each.path.endswith(f"/schemas/ids/{number}") for each in self.site.asked)

    def asked_of(self, subject: str, version: str = "latest") -> int:
        """Return how often a subject's version was asked for."""
        end = f"/subjects/{subject}/versions/{version}"
        return sum(each.path.endswith(end) for each in self.site.asked)

    def _put(self, path: str, said: Any, status: int = 200) -> None:
        self.site.put(f"/registry{path}", lambda asked: self._answer(asked, said, status))

    def _answer(self, asked: Asked, said: Any, status: int) -> Said:
        if self.is_away:
            return Said({"error_code": 50001}, 503)
        if "Basic " not in asked.headers.get("Authorization", ""):
            return Said({"error_code": 401}, 401)
        kind = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
        return Said(said, status, kind)


def connection(broker: Broker, schemas: Schemas) -> str:
    return f"""
[events]
kind = "kafka"
projects = ["rides"]
brokers = ["{broker.address}"]
plaintext = true
[events.schema_registry]
url = "{schemas.url}"
user = "assay"
token = "{TOKEN}"
"""


def framed(number: int, schema: Any, value: Any) -> bytes:
    """Return a value as a registry's clients write it."""
    made = BytesIO()
    schemaless_writer(made, parse_schema(schema), value)
    return b"\0" + number.to_bytes(4, "big") + made.getvalue()
