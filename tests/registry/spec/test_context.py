"""Templates of feature services: what is read, and that nothing in them is evaluated."""

from __future__ import annotations

import pytest

from registry.spec.context import BadTemplate, named, parse_template, places_of
from registry.spec.references import parse_reference

REFERENCES = [
    parse_reference(text)
    for text in ("spend:amount", "profile:segment", "visits@1.2.0:amount", "profile:age")
]


@pytest.mark.parametrize(
    "template",
    [
        "",
        "nothing",
        "{}",
        "{0}",
        "{amount.real}",
        "{amount.__class__.__init__.__globals__}",
        "{amount[0]}",
        "{amount!r}",
        "{amount:>1000000000}",
        "{amount:1000000000d}",
        "{amount:.99f}",
        "{amount:{segment}}",
        "{amount:%H}",
        "{amount",
        "amount}",
        "{ amount }",
        "{amount}\u202e",
        "{amount}\t",
        "{amount}" * 201,
        "{amount}" + "x" * 4000,
    ],
)
def test_what_is_no_template_is_refused(template):
    with pytest.raises(BadTemplate):
        parse_template(template)


@pytest.mark.parametrize(
    ("template", "clauses"),
    [
        ("{a}", [["a"]]),
        ("a is {a:.2f}, b is {b}; {c}\n{d}", [["a"], ["b"], ["c"], ["d"]]),
        ("Dear model, first, {a} and {b}, thanks, bye.", [["a", "b"]]),
        ("{{{a}}}, {{}}", [["a"]]),
        ("{a:,.2f}, {b:age}", [["a"], ["b"]]),
    ],
)
def test_a_clause_ends_at_a_comma_a_semicolon_or_its_line(template, clauses):
    parsed = parse_template(template)

    assert [[place.name for place in clause.places] for clause in parsed] == clauses


@pytest.mark.parametrize("template", ["Dear {{model}}, {a}, {b}; x.", "{a}\n\n{b}\n", "{a}{b}"])
def test_all_clauses_together_are_the_template(template):
    said = ""
    for clause in parse_template(template):
        said += clause.separator
        said += "".join(
            each.replace("{", "{{").replace("}", "}}")
            if isinstance(each, str)
            else f"{{{each.name}}}"
            for each in clause.parts
        )

    assert said == template


def test_a_name_is_the_features_or_the_views_with_it():
    template = parse_template("{segment} {spend__amount} {visits@1.2.0__amount}")
    found = named([place.name for place in places_of(template)], REFERENCES)

    assert found == {"segment": 1, "spend__amount": 0, "visits@1.2.0__amount": 2}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("amount", r"write one of \{spend__amount\}, \{visits@1.2.0__amount\}"),
        ("segmnt", "Did you mean 'segment'"),
    ],
)
def test_a_name_that_means_nothing_or_several_is_refused(name, says):
    with pytest.raises(BadTemplate, match=says):
        named([name], REFERENCES)
