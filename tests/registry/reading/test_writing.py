"""What is written reads back as the same spec, whatever is in it, and in one form only."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from registry.reading.parsing import InvalidDefinitions, parse_files, parse_objects
from registry.reading.writing import written

DEFINITIONS = Path(__file__).parents[3] / "examples" / "streaming" / "definitions"
AWKWARD = (
    *(
        "yes",
        "No",
        "null",
        "~",
        "010",
        "0o17",
        "0x1F",
        "1e3",
        "1_000",
        ".5",
        ".inf",
        ".nan",
        "1:30",
    ),
    *(
        "2026-01-01",
        "=",
        "<<",
        "- a",
        "a: b",
        "a #b",
        "#",
        "'",
        '"',
        "{a}",
        "[a]",
        "*a",
        "&a",
        "!a",
    ),
    *("", " ", " a ", "a\n", "\na", "a\n\n", "a\n b\n", " a\nb", "a \nb", "\ta", "a\tb", "a\r\nb"),
    *(
        "\x85",
        "\u2028",
        "\ufeff",
        "é",
        "👍",
        "---",
        "...",
        "--- a",
        "%YAML",
        "a\x7f",
        "\x07",
        "@",
        "`",
    ),
    *("- x\n- y", "key: |\n  a", "'" * 3, '"""', "\\n", "x" * 300, ("w " * 100) + "\nb"),
)
TEXTS = st.sampled_from(AWKWARD) | st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\x00"), max_size=40
)
NAMES = st.from_regex(r"[a-z]{1,8}(_[a-z0-9]{1,4})?", fullmatch=True).filter(
    lambda name: name not in ("timing", "explain", "filename")
)
WORDS = st.fixed_dictionaries(
    {},
    optional={
        "description": TEXTS,
        "owner": TEXTS.filter(lambda text: len(text) <= 200),
        "tags": st.dictionaries(TEXTS, TEXTS, max_size=3),
    },
)
DURATIONS = st.builds("{}{}".format, st.integers(1, 90), st.sampled_from("wdhm"))
TIMES = NAMES | st.fixed_dictionaries(
    {"column": NAMES}, optional={"unit": st.sampled_from(["timestamp", "s", "ms", "us", "ns"])}
)
CHECKS = st.fixed_dictionaries(
    {},
    optional={
        "not_null": st.floats(0, 1),
        "allowed": st.lists(TEXTS, min_size=1, max_size=4, unique=True),
        "length": st.fixed_dictionaries({"min": st.integers(0, 5), "max": st.integers(5, 10**12)}),
        "unique": st.booleans(),
    },
)
FEATURES = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={
        "column": NAMES | TEXTS.filter(bool),
        "description": TEXTS,
        "sensitivity": st.sampled_from(["public", "internal", "confidential", "restricted"]),
        "checks": CHECKS,
    },
)
VERSIONS = st.builds("{}.{}.{}".format, *[st.integers(0, 40)] * 3)


def named(bodies):
    """Return a list of named things, each name once."""
    return st.dictionaries(NAMES, bodies, min_size=1, max_size=3).map(
        lambda found: [{"name": name, **body} for name, body in found.items()]
    )


ENTITIES = st.fixed_dictionaries(
    {"kind": st.just("Entity"), "name": NAMES, "join_keys": named(st.just({"type": "int64"}))}
)
SOURCES = st.fixed_dictionaries(
    {
        "kind": st.just("DataSource"),
        "name": NAMES,
        "type": st.just("file"),
        "path": st.sampled_from(["a.csv", "a/*.parquet", "a b/é: #.jsonl.gz"]),
        "event_timestamp": TIMES,
    },
    optional={"root": NAMES, "lookback": DURATIONS},
)
VIEWS = st.fixed_dictionaries(
    {
        "kind": st.just("FeatureView"),
        "name": NAMES,
        "entities": st.lists(NAMES, min_size=1, max_size=3, unique=True),
        "source": NAMES,
        "features": named(FEATURES),
    },
    optional={
        "version": VERSIONS,
        "based_on": VERSIONS,
        "ttl": DURATIONS,
        "freshness": DURATIONS,
        "schedule": DURATIONS.map(lambda every: {"every": every}) | st.just({"cron": "15 * * * *"}),
        "start": st.sampled_from(
            ["2026-01-01", "2026-01-01T03:04:05.678901Z", "2026-06-01T00:00:00+02:00"]
        ),
        "online": st.booleans(),
    },
)
ON_DEMAND = st.fixed_dictionaries(
    {
        "kind": st.just("OnDemandFeatureView"),
        "name": NAMES,
        "inputs": st.just({"features": ["spend:total"], "request": {"basket": "float64"}}),
        "features": named(st.just({"type": "float64", "sql": "basket / nullif(total, 0)"})),
    },
    optional={"version": VERSIONS},
)
SERVICES = st.fixed_dictionaries(
    {
        "kind": st.just("FeatureService"),
        "name": NAMES,
        "features": st.lists(
            st.builds("{}@{}:{}".format, NAMES, VERSIONS, NAMES),
            min_size=1,
            max_size=3,
            unique=True,
        ),
    }
)


@pytest.mark.parametrize("bodies", [ENTITIES, SOURCES, VIEWS, ON_DEMAND, SERVICES])
def test_every_spec_reads_back_as_itself_and_is_written_the_same_again(bodies):
    @settings(max_examples=60, deadline=None)
    @given(body=bodies, words=WORDS)
    def holds(body, words):
        try:
            (given_,) = parse_objects([body | words])
        except InvalidDefinitions:
            reject()

        text = written(given_.kind, given_.spec)

        (read,) = parse_files([("again.yaml", text)])
        assert (read.kind, read.spec) == (given_.kind, given_.spec)
        assert written(read.kind, read.spec) == text

    holds()


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_are_read_as_themselves(text):
    body = {"kind": "Entity", "name": "a", "join_keys": [{"name": "k", "type": "int64"}]}
    (given_,) = parse_objects([body | {"description": text, "tags": {text: text}}])

    (read,) = parse_files([("again.yaml", written(given_.kind, given_.spec))])

    assert (read.spec.description, read.spec.tags) == (text, {text: text})


def test_the_examples_read_back_as_themselves():
    files = [(str(path), path.read_text()) for path in sorted(DEFINITIONS.glob("*.yaml"))]
    assert files

    for definition in parse_files(files):
        (read,) = parse_files([("again.yaml", written(definition.kind, definition.spec))])
        assert read.spec == definition.spec


def test_the_form_is_the_one_that_people_write():
    sent = """\
kind: FeatureView
start: 2026-01-01T00:00:00Z
source: orders
entities: [customer]
features:
  - {type: float64, name: total, sensitivity: internal, description: "yes"}
version: "1.2.0"
sql: |
  select a
  from b
online: true
name: spend
"""
    (definition,) = parse_files([("sent.yaml", sent.replace("from b", "from orders"))])

    assert (
        written(definition.kind, definition.spec)
        == """\
kind: FeatureView
name: spend
version: "1.2.0"
entities: [customer]
source: orders
sql: |
  select a
  from orders
features:
- {name: total, type: float64, description: 'yes'}
start: '2026-01-01'
"""
    )
