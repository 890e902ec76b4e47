"""What waits for review over HTTP: whose turn it is, who is asked, several approvals at once."""

from __future__ import annotations

import pytest

from registry.choices import State
from registry.models import AuditEntry, Review
from tests import factories
from tests.factories import AT, VIEW, make_version
from tests.registry.operations.test_bulk import PUBLIC

pytestmark = pytest.mark.django_db
PROJECT = "/api/v1/projects/rides"
REVIEWERS = f"{PROJECT}/feature-views/driver_hourly/versions/1.0.0/reviewers"


@pytest.fixture
def waiting(cast):
    """Three versions in review: two of public features only."""
    make_version(cast, state=State.DRAFT)
    texts = {"hourly": VIEW, "daily": PUBLIC, "weekly": PUBLIC}
    return [
        make_version(
            cast, state=State.IN_REVIEW, text=text.replace("driver_hourly", f"driver_{name}")
        )
        for name, text in texts.items()
    ]


def post(client, path, body):
    return client.post(path, body, content_type="application/json")


def names(client, **query):
    answer = client.get(f"{PROJECT}/reviews", query).json()
    return [line["view"] for line in answer["results"]]


def test_the_queue_says_of_each_what_there_is_to_decide(client, cast, waiting):
    client.force_login(cast.consumer)

    line = client.get(f"{PROJECT}/reviews?limit=1").json()["results"][0]

    assert line["packet_hash"] == factories.seen(waiting[0])
    assert {name: line[name] for name in ("view", "version", "class", "given", "required")} == {
        "view": "driver_hourly", "version": "1.0.0", "class": "first", "given": 0, "required": 1
    }  # fmt: skip
    assert (line["owner"], line["overdue"], line["reviewers"]) == ("rides", True, [])


def test_the_queue_is_of_whose_turn_it_is(client, cast, waiting):
    client.force_login(cast.author)
    assert post(client, REVIEWERS, {"reviewers": ["second_steward"]}).status_code == 200
    assert len(names(client, **{"for": "mine"})) == 3
    assert names(client, **{"for": "me"}) == []
    client.force_login(cast.steward)
    assert names(client, **{"for": "me"}) == ["driver_daily", "driver_weekly"]
    client.force_login(cast.second_steward)
    assert names(client, **{"for": "me"}) == ["driver_hourly", "driver_daily", "driver_weekly"]
    assert len(names(client, **{"for": "overdue"})) == 3
    assert client.get(f"{PROJECT}/reviews?for=you").json()["code"] == "invalid_filter"


def test_the_queue_asks_as_much_of_the_database_for_many_as_for_one(
    client, cast, waiting, django_assert_max_num_queries
):
    client.force_login(cast.steward)
    with django_assert_max_num_queries(14):
        client.get(f"{PROJECT}/reviews")


def test_who_may_ask_is_told_who_could_be(client, cast, waiting):
    client.force_login(cast.author)
    assert client.get(REVIEWERS).json()["could"] == ["owner", "second_steward", "steward"]
    refused = post(client, REVIEWERS, {"reviewers": ["author"]})
    assert (refused.status_code, refused.json()["code"]) == (422, "cannot_review")

    client.force_login(cast.consumer)
    assert client.get(REVIEWERS).json()["could"] == []
    assert post(client, REVIEWERS, {"reviewers": []}).status_code == 403
    client.force_login(cast.outsider)
    assert client.get(REVIEWERS).status_code == 404


def test_several_are_approved_and_the_others_told_by_name(client, cast, waiting):
    client.force_login(cast.steward)
    chosen = [
        {"view": each.feature_view.name, "version": "1.0.0", "packet_hash": factories.seen(each)}
        for each in waiting
    ]
    chosen.append({"view": "driver_yearly", "version": "1.0.0", "packet_hash": "0"})

    answer = post(client, f"{PROJECT}/reviews/bulk-approve", {"versions": chosen}).json()

    assert answer["approved"] == 2
    said = {each["view"]: each.get("code") for each in answer["results"]}
    assert said == {
        "driver_hourly": "not_in_bulk",
        "driver_daily": None,
        "driver_weekly": None,
        "driver_yearly": "feature_view_not_found",
    }
    assert Review.objects.count() == 2
    assert AuditEntry.objects.filter(verb="feature_view_version.approved").count() == 2


def test_an_author_approves_nothing_together_and_each_refusal_is_in_the_trail(
    client, cast, waiting
):
    client.force_login(cast.author)
    each = waiting[1]
    chosen = {"view": each.feature_view.name, "version": "1.0.0"}
    body = {"versions": [chosen | {"packet_hash": factories.seen(each)}]}

    answer = post(client, f"{PROJECT}/reviews/bulk-approve", body).json()

    assert answer["results"][0]["code"] == "not_permitted"
    entry = AuditEntry.objects.filter(verb="access.denied").latest("id")
    assert entry.data["attempt"] == "approving driver_daily@1.0.0"


def test_what_was_approved_is_told_although_refusals_are_too_many(client, cast, waiting, settings):
    settings.REFUSALS = 1
    for each in waiting[1:]:
        each.editors.create(user=cast.second_steward, first_at=AT)
    third = make_version(
        cast, state=State.IN_REVIEW, text=PUBLIC.replace("driver_hourly", "driver_monthly")
    )
    client.force_login(cast.second_steward)
    chosen = [
        {"view": each.feature_view.name, "version": "1.0.0", "packet_hash": factories.seen(each)}
        for each in (*waiting[1:], *waiting[1:], third)
    ]

    answer = post(client, f"{PROJECT}/reviews/bulk-approve", {"versions": chosen})

    assert answer.status_code == 200
    codes = [each.get("code") for each in answer.json()["results"]]
    assert codes == ["editor_may_not_decide", *["refused_too_often"] * 3, None]


def test_a_name_that_no_database_takes_is_refused(client, cast):
    client.force_login(cast.steward)
    chosen = {"view": "a\x00", "version": "1.0.0", "packet_hash": "x"}

    answer = post(client, f"{PROJECT}/reviews/bulk-approve", {"versions": [chosen]})

    assert (answer.status_code, "NUL" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize("count", [0, 101])
def test_a_bounded_number_is_approved_together(client, cast, count):
    client.force_login(cast.steward)
    chosen = [{"view": "v", "version": "1.0.0", "packet_hash": "0"}] * count

    answer = post(client, f"{PROJECT}/reviews/bulk-approve", {"versions": chosen})

    assert (answer.status_code, "1 to 100" in answer.json()["detail"]) == (422, True)


COMMENTS = f"{PROJECT}/feature-views/driver_hourly/versions/1.0.0/comments"


def test_comments_are_added_listed_and_resolved(client, cast, waiting):
    client.force_login(cast.steward)
    said = post(client, COMMENTS, {"body": "Why?", "path": "definition", "line": 2}).json()
    client.force_login(cast.author)
    answer = post(client, COMMENTS, {"body": "<b>=1+1</b>", "thread": said["id"]}).json()
    assert answer["body"] == "<b>=1+1</b>"
    resolve = f"{COMMENTS}/{said['id']}/resolve"
    assert post(client, resolve, {}).json()["code"] == "thread_of_others"
    client.force_login(cast.second_steward)
    assert post(client, resolve, {}).json()["resolved_by"] == "second_steward"
    assert post(client, resolve, {}).status_code == 409

    found = client.get(f"{COMMENTS}?limit=1").json()
    assert (found["count"], found["next"] is not None) == (2, True)
    first = found["results"][0]
    assert (first["became"], first["line_now"], first["current"]) == ("unchanged", 2, True)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"body": ""}, 422, "nothing_said"),
        ({"body": "x" * 10_001}, 422, "invalid_comment"),
        ({"body": "x" * 1_000_000}, 413, "body_too_large"),
        ({"body": "x", "path": "definition"}, 422, "invalid_body"),
        ({"body": "x", "line": 1}, 422, "invalid_body"),
        ({"body": "x", "path": "definition", "line": -1}, 422, "no_such_line"),
        ({"body": "x", "path": "definition", "line": 1, "thread": 1}, 422, "invalid_body"),
        ({"body": "x", "thread": 10**25}, 404, "comment_not_found"),
        ({"body": "x", "thread": -1}, 404, "comment_not_found"),
        ({"text": "x"}, 422, "invalid_body"),
    ],
)
def test_what_cannot_be_said_is_refused(client, cast, waiting, body, status, code):
    client.force_login(cast.steward)

    answer = post(client, COMMENTS, body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_comments_are_for_who_may_see_and_said_by_who_writes_or_decides(client, cast, waiting):
    client.force_login(cast.consumer)
    assert client.get(COMMENTS).status_code == 200
    assert post(client, COMMENTS, {"body": "x"}).status_code == 403
    client.force_login(cast.outsider)
    assert client.get(COMMENTS).status_code == 404
    assert post(client, f"{COMMENTS}/{10**29}/resolve", {}).status_code == 404
