"""HTTP sources as definitions say them."""

from __future__ import annotations

import pytest
from msgspec import structs

from registry.reading.parsing import InvalidDefinitions, parse_files
from registry.spec.made_of import Place
from registry.spec.paging import CursorPaging, LinkPaging, OffsetPaging, PagePaging
from registry.spec.sources.http import HttpSource

SOURCE = """
kind: DataSource
name: orders
type: http
connection: shop
path: sales/orders
schema: {id: int64, paid_at: timestamp, came_at: timestamp, amount: "decimal(12,2)"}
event_timestamp: paid_at
"""


def read(more: str, text: str = SOURCE) -> HttpSource:
    (definition,) = parse_files([("features.yaml", text + more)])
    spec = definition.spec
    assert isinstance(spec, HttpSource)
    return spec


@pytest.mark.parametrize(
    ("paging", "said"),
    [
        ("{by: link}", LinkPaging()),
        ("{by: cursor, parameter: c, next: m.next}", CursorPaging(parameter="c", next="m.next")),
        ("{by: offset, parameter: skip}", OffsetPaging(parameter="skip")),
        ("{by: page, parameter: page, first: 0}", PagePaging(parameter="page", first=0)),
    ],
)  # fmt: skip
def test_what_is_said_is_kept(paging, said):
    more = f'parameters: {{a: "{{since}}", n: 5, all: true}}\nrows: data.orders\npaging: {paging}'

    spec = read(more)

    assert spec.paging == said
    assert spec.parameters == {"a": "{since}", "n": 5, "all": True}
    assert (spec.rows, spec.is_windowed, spec.where()) == (
        "data.orders",
        True,
        "shop: sales/orders",
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("paging: {by: cursor, parameter: c}", "paging.next: required and missing; .*meta.next"),
        ("paging: {by: cursor, parameter: c, next: n}", "paging.next: .*array of rows itself"),
        ("paging: {by: guess}", "paging.by: 'guess' is not one of the words.* Valid: link, cursor"),
        ("paging: {by: offset, parameter: a}\nparameters: {a: 1}", "one of the parameters already"),
        ("paging: {by: page, parameter: p, first: 7}", "7 is no first page"),
        ("rows: data..x", "rows: 'data..x' is no place in an answer"),
        ("rows: [a]", "rows: "),
        ('parameters: {a: "{until} {now}"}', "'{now}' stands for nothing; {since} and {until} do"),
        ("parameters: {api_key: abc}", "called as a secret is; none stands in a definition"),
        ("parameters: {x-access-token: abc}", "called as a secret is"),
        ("parameters: {a: [1]}", "parameters.a: expected text, a whole number or true or false"),
        ("asks_by: created_timestamp", "asks_by: the source has no created_timestamp"),
        (
            'asks_by: created_timestamp\ncreated_timestamp: came_at\nparameters: {a: "{until}"}',
            "{until} bounds event times",
        ),
        ("created_timestamp: cameat", "no column 'cameat'.*Did you mean 'came_at'"),
        ("optional: [amounts]", "no column 'amounts'.*Did you mean 'amount'"),
        ("instants: weeks", "'weeks' is not one of the words"),
        ("query: SELECT 1", "unknown key 'query'"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(more, said):
    with pytest.raises(InvalidDefinitions, match=said) as caught:
        read(more)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("https://api.example.com/orders", "leaves where the connection leads"),
        ("/orders", "leaves where the connection leads"),
        ("a/../../b", "leaves where the connection leads"),
        ("a/%2E%2e/b", "leaves where the connection leads"),
        ("a/..%2fb", "leaves where the connection leads"),
        ("a/..%252F..%252Fb", "leaves where the connection leads"),
        (f"a/..%{'25' * 40}2fb", "leaves where the connection leads"),
        ("..;/b", "leaves where the connection leads"),
        ("a/.;x=1/b", "leaves where the connection leads"),
        ("a/..%3bx/b", "leaves where the connection leads"),
        ("a/..%00/b", "leaves where the connection leads"),
        ("a/..%20/b", "leaves where the connection leads"),
        ("a/.../b", "leaves where the connection leads"),
        ("a%5c..%5cb", "leaves where the connection leads"),
        ("a/%c0%ae%c0%ae/b", "leaves where the connection leads"),
        ("sales/order%73", "is no path; .*not %41"),
        ("sales%2Dorders", "is no path; .*not %41"),
        ("sales/100%", "is no path"),
        ("orders?limit=5", "is no path; .* as `parameters`"),
        ("orders/{since}", "is no path"),
        ('"a b"', "is no path"),
        ('""', "is no path"),
    ],
)
def test_a_path_stays_where_the_connection_leads(path, said):
    with pytest.raises(InvalidDefinitions, match=said):
        read("", SOURCE.replace("sales/orders", path))


@pytest.mark.parametrize(
    "path",
    ["projects/a%2Fb/issues", "a%20b/v1.2/.well-known", "orders;year=2026/a..b", "a/%C3%A9/50%25"],
)
def test_what_has_to_be_encoded_is_as_it_was_written(path):
    assert read("", SOURCE.replace("sales/orders", path)).path == path


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ("{}", "0 columns; declare those"),
        ("{id: int63, paid_at: timestamp}", "schema.id: unknown type 'int63'.*int64"),
        ("{id: int64, ID: int64, paid_at: timestamp}", "differs from it in case alone"),
        ("{__id: int64, paid_at: timestamp}", "'__id': a column's name is text of at most 200"),
        ("{id: int64}", "event_timestamp: the schema has no column 'paid_at'"),
        ("[id]", "schema: expected a mapping"),
    ],
)
def test_a_schema_declares_what_is_read(schema, said):
    text = SOURCE.replace(SOURCE[SOURCE.index("{id") : SOURCE.index("\nevent")], schema)

    with pytest.raises(InvalidDefinitions, match=said):
        read("", text)


@pytest.mark.parametrize("other", ["sales/orders", "Sales/Orders", "sales/orders;x=1", "reports/o"])
def test_a_column_is_held_to_its_sensitivity_at_any_address_of_one_server(other):
    spec = read("")
    here = Place("orders", "identity", spec.path_within(), ("", ""))
    elsewhere = structs.replace(spec, path=other)
    there = Place("others", "identity", elsewhere.path_within(), ("", ""))

    assert here.is_that_of(there)
    assert not here.is_that_of(there._replace(root="another server"))
