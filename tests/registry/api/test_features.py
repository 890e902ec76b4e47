"""Searching the features of a project: ranks, typos, facets, pages."""

from __future__ import annotations

import pytest

from registry.catalogue import entries, search
from registry.spec.search_words import fold, words_in
from tests.factories import VIEW, apply, make_ready, make_version

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/features"
MORE = """
kind: FeatureView
name: rates
description: What riders say of drivers
entities: [driver]
source: driver_stats
features:
  - {name: rate, type: float64, column: stars, description: Stars from one to five}
  - {name: rate_of_return, type: float64, column: returned, sensitivity: confidential}
  - {name: sales_free, type: string, column: x, description: "=1+1 <script>alert(1)</script>"}
tags: {domain: people, gold: ""}
owner: quality
freshness: 1h
---
kind: OnDemandFeatureView
name: share
inputs: {features: ["driver_hourly:conv_rate"], request: {total: float64}}
features: [{name: part, type: float64, sql: "conv_rate / nullif(total, 0)"}]
owner: rides
"""


@pytest.fixture
def find(api, cast):
    make_ready(make_version(cast))
    apply(MORE, cast)
    client = api(cast.consumer)

    def found(**query: object):
        response = client.get(URL, query)
        assert response.status_code == 200, response.content
        return response.json()

    return found


def references(answer) -> list[str]:
    return [each["reference"] for each in answer["results"]]


@pytest.mark.parametrize(
    ("who", "status"), [("anonymous", 401), ("outsider", 404), ("consumer", 200)]
)
def test_features_are_for_those_who_may_see_the_project(api, cast, who, status):
    client = api() if who == "anonymous" else api(getattr(cast, who))

    assert client.get(URL).status_code == status


def test_one_row_a_feature_as_the_version_that_speaks_for_its_view_has_it(find, cast):
    make_version(cast, text=VIEW.replace("Conversion rate", "Another"))
    answer = find()

    assert answer["count"] == 7
    row = next(each for each in answer["results"] if each["name"] == "conv_rate")
    assert row == {
        "reference": "driver_hourly:conv_rate", "name": "conv_rate",
        "feature_view": "driver_hourly", "version": "1.0.0", "state": "approved",
        "is_default": True, "break_glass": None, "type": "float32", "sensitivity": "internal",
        "description": "Conversion rate", "owner": "rides", "tags": [], "entities": ["driver"],
        "source": "driver_stats", "columns": ["conv_rate"], "unit": "",
        "mask": None, "encoding": None, "inputs": [], "freshness": "no_promise",
        "matched": "exact",
    }  # fmt: skip


def test_exact_names_come_before_beginnings_words_parts_and_prose(find):
    answer = find(q="rate")

    assert [(each["name"], each["matched"]) for each in answer["results"]] == [
        ("rate", "exact"),
        ("rate_of_return", "prefix"),
        ("acc_rate", "name"),
        ("conv_rate", "name"),
        ("part", "word"),  # it is computed from conv_rate
        ("sales_free", "part"),  # its view is called rates
    ]
    assert answer["guessed"] == {}


@pytest.mark.parametrize(
    ("q", "found"),
    [
        ("conversoin", ["driver_hourly:conv_rate"]),
        ("Converson RATE", ["driver_hourly:conv_rate"]),
        ("retruned", ["rates:rate_of_return"]),
        ("stars", ["rates:rate"]),
        ("returned", ["rates:rate_of_return"]),
        ("driver_hourly:conv_rate", ["driver_hourly:conv_rate", "share:part"]),
        ("domain:people free", ["rates:sales_free"]),
        ("quality return", ["rates:rate_of_return"]),
        ("confidential", ["rates:rate_of_return"]),
        ("rate of return", ["rates:rate_of_return"]),
        ("xyzzy", []),
        ("qz", []),
        ("<script>alert(1)</script>", ["rates:sales_free"]),
        ("%' OR 1=1 --", []),
        ("\x00", None),
    ],
)
def test_words_of_any_kind_find_features_with_typos_too(find, q, found):
    answer = find(q=q)

    assert references(answer) == (references(find()) if found is None else found)


def test_what_was_searched_in_place_of_a_typo_is_told(find):
    assert find(q="conversoin")["guessed"] == {"conversoin": ["conversion"]}
    assert find(q="xyzzy")["guessed"] == {"xyzzy": []}


def test_facets_count_what_each_choice_would_leave(find):
    facets = find(sensitivity="confidential")["facets"]

    def counted(name):
        return {each["value"]: each["count"] for each in facets[name]}

    assert counted("sensitivity") == {"internal": 6, "confidential": 1}
    assert counted("owner") == {"quality": 1}
    assert counted("tag") == {"domain:people": 1, "gold": 1}
    assert counted("state") == {"draft": 1}
    assert counted("freshness") == {"no_promise": 1}


def test_facets_narrow_together(find):
    assert references(find(entity="driver", owner="rides")) == [
        "driver_hourly:acc_rate",
        "driver_hourly:avg_daily_trips",
        "driver_hourly:conv_rate",
    ]
    assert references(find(tag="domain", type="string")) == ["rates:sales_free"]
    assert references(find(freshness="at_request")) == ["share:part"]
    assert references(find(state="approved", owner="nobody")) == []
    facets = find(state="approved", owner="nobody")["facets"]
    assert {"value": "nobody", "count": 0} in facets["owner"]


def test_results_come_in_pages(find):
    first, second = find(limit=4), find(limit=4, offset=4)

    assert (len(first["results"]), len(second["results"])) == (4, 3)
    assert not set(references(first)) & set(references(second))


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"q": "x" * 201}, "invalid_search"),
        ({"q": "a b c d e f g h i j k"}, "invalid_search"),
        ({"state": "aproved"}, "invalid_filter"),
        ({"freshness": "late"}, "invalid_filter"),
        ({"colour": "red"}, "unknown_parameter"),
    ],
)
def test_what_cannot_be_searched_is_refused(api, cast, query, code):
    response = api(cast.consumer).get(URL, query)

    assert (response.status_code, response.json()["code"]) == (422, code)


def test_an_edited_draft_is_found_by_its_new_words(find, cast):
    apply(MORE.replace("Stars from", "Planets from"), cast)

    assert references(find(q="planets")) == ["rates:rate"]
    assert references(find(q="stars")) == ["rates:rate"]  # its column


def test_what_is_kept_of_versions_has_a_bound(find, monkeypatch):
    kept = entries._Kept()
    monkeypatch.setattr(entries, "_kept", kept)
    monkeypatch.setattr(entries, "MOST_KEPT", 3)

    assert find()["count"] == find()["count"] == 7
    assert kept._features <= 3


def test_words_are_compared_without_case_and_accents():
    assert fold("Umsätze ÉTÉ") == "umsatze ete"
    assert words_in("amount_sum_3d (USD),") == " amount_sum_3d usd amount sum 3d "


def test_words_of_a_search_are_bounded_values_too(cast, find, monkeypatch):
    monkeypatch.setattr(search, "MOST_VALUES", 2)

    assert len(find()["facets"]["type"]) == 2


# --- one feature -------------------------------------------------------------------------------


def test_one_feature_says_all_that_its_page_does(api, cast, find):
    service = 'kind: FeatureService\nname: eta\nfeatures: ["share:part", "driver_hourly:conv_rate"]'
    apply(service, cast)

    found = api(cast.consumer).get(f"{URL}/driver_hourly:conv_rate").json()

    assert found["reference"] == "driver_hourly:conv_rate"
    assert found["columns"] == ["conv_rate"]
    assert found["readers"] == [{"kind": "feature-service", "name": "eta"}]
    assert [(each["version"], each["feature"]) for each in found["history"]] == [("1.0.0", "new")]
    assert {"reference": "driver_hourly:acc_rate", "why": ["also rate"]} in found["related"]
    assert [each["title"] for each in found["how_to_read"]][-1] == "YAML"


@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ("driver_hourly@1.0.0:conv_rate", 200),
        ("share:part", 200),
        ("driver_hourly:nothing", 404),
        ("driver_hourly@9.9.9:conv_rate", 404),
        ("driver_hourly", 404),
        ("nothing:conv_rate", 404),
    ],
)
def test_features_are_found_by_reference(api, cast, find, reference, status):
    assert api(cast.consumer).get(f"{URL}/{reference}").status_code == status
    assert api(cast.outsider).get(f"{URL}/{reference}").status_code == 404


def test_what_each_version_made_of_a_feature_is_told(api, cast, find):
    make_version(cast, text=VIEW.replace("Conversion rate", "Share of calls won"))

    history = api(cast.consumer).get(f"{URL}/driver_hourly:conv_rate").json()["history"]

    assert [each["version"] for each in history] == ["1.0.1", "1.0.0"]
    assert history[0]["changes"] == ["description: Conversion rate became Share of calls won"]
