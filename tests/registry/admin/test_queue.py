"""The reviewer's queue: what waits for this person, in order, and the next one after a decision."""

from __future__ import annotations

import pytest

from registry.choices import State
from registry.models import FeatureViewVersion, Project
from registry.words import in_short
from tests import factories
from tests.factories import AT, VIEW, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def waiting(cast):
    """Three versions in review."""
    make_version(cast, state=State.DRAFT)
    names = ("hourly", "daily", "weekly")
    texts = [VIEW.replace("driver_hourly", f"driver_{name}") for name in names]
    return [make_version(cast, state=State.IN_REVIEW, text=text) for text in texts]


def url(version, action="change"):
    return f"/admin/registry/featureviewversion/{version.pk}/{action}/"


def shown(client, version):
    return " ".join(client.get(url(version)).content.decode().split())


def decide(client, version, action, **also):
    body = {"action": action, "comment": "Looked.", "packet_hash": factories.seen(version)}
    return client.post(url(version, "act"), body | also)


def test_a_version_says_where_it_stands_and_leads_to_its_neighbours(client, cast, waiting):
    client.force_login(cast.steward)
    first, second, third = waiting

    said = shown(client, second)

    assert "2 of 3 waiting for you" in said
    assert f'data-key="k" href="{url(first)}"' in said
    assert f'data-key="j" href="{url(third)}"' in said


def test_after_a_decision_the_next_one_is_there(client, cast, waiting):
    client.force_login(cast.steward)
    first, second, third = waiting

    assert decide(client, second, "approve").url == url(third)
    assert decide(client, third, "reject").url == url(first)
    assert decide(client, first, "approve").url == url(first)  # nothing waits any more


def test_a_decision_that_was_refused_stays_where_it_was(client, cast, waiting):
    client.force_login(cast.steward)

    assert decide(client, waiting[0], "approve", packet_hash="f00").url == url(waiting[0])


def test_nobody_is_led_to_what_they_wrote_or_decided_on(client, cast, waiting):
    first, second, third = waiting
    second.editors.create(user=cast.steward, first_at=AT)
    client.force_login(cast.steward)

    said = shown(client, first)

    assert "1 of 2 waiting for you" in said
    assert f'data-key="j" href="{url(third)}"' in said
    assert "waiting for you" not in shown(client, second)


def test_who_may_not_decide_has_no_queue(client, cast, waiting):
    client.force_login(cast.author)

    assert "waiting for you" not in shown(client, waiting[0])


def test_one_persons_voice_takes_it_off_their_queue_only(client, cast):
    text = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
    make_version(cast, state=State.DRAFT)
    version = make_version(cast, state=State.IN_REVIEW, text=text)
    client.force_login(cast.steward)
    decide(client, version, "approve")

    assert "waiting for you" not in shown(client, version)
    client.force_login(cast.second_steward)
    assert "1 of 1 waiting for you" in shown(client, version)


LIST = "/admin/registry/featureviewversion/"


def names(client, **asked):
    rows = client.get(LIST, asked).context["cl"].result_list
    return [version.feature_view.name for version in rows]


def test_the_list_can_be_of_what_waits_for_the_person(client, cast, waiting):
    waiting[1].editors.create(user=cast.steward, first_at=AT)
    client.force_login(cast.steward)

    assert set(names(client, turn="may")) == {"driver_hourly", "driver_weekly"}
    assert names(client, turn="mine") == ["driver_daily"]
    assert len(names(client, turn="overdue")) == len(names(client)) == 3


def test_the_list_can_be_of_what_is_asked_of_the_person(client, cast, waiting):
    client.force_login(cast.author)
    asked = client.post(url(waiting[0], "ask"), {"reviewer": ["second_steward"]})
    assert asked.url == url(waiting[0])
    client.force_login(cast.steward)

    assert set(names(client, turn="me")) == {"driver_daily", "driver_weekly"}
    assert "asked of second_steward" in client.get(LIST).content.decode()
    client.force_login(cast.second_steward)
    assert len(names(client, turn="me")) == 3


@pytest.mark.parametrize(
    ("turn", "says"), [("me", "Nothing is asked of you"), ("overdue", "Nothing is overdue")]
)
def test_an_empty_list_says_whose_turn_it_is_not(client, cast, turn, says):
    client.force_login(cast.steward)

    page = client.get(LIST, {"state": "in_review", "turn": turn}).content.decode()

    assert says in page
    page = client.get(LIST, {"state": "in_review", "turn": turn, "q": "x"}).content.decode()
    assert "Nothing matches" in page


KEPT = "?_changelist_filters=state%3Din_review%26q%3Dly%26turn%3Dme"


def test_filters_stay_on_the_way_through_what_waits(client, cast, waiting):
    client.post("/admin/login/")
    client.force_login(cast.author)
    client.post(url(waiting[1], "ask"), {"reviewer": ["second_steward"]})
    client.force_login(cast.steward)
    first, _, third = waiting

    page = client.get(url(first) + KEPT)
    place = page.context["queue"]
    assert (place.position, place.total) == (1, 2)
    assert (place.next_one, place.previous) == (url(third) + KEPT, url(third) + KEPT)
    assert "?state=in_review&amp;q=ly&amp;turn=me" in page.content.decode()
    body = {"action": "approve", "packet_hash": factories.seen(first)}
    assert client.post(url(first, "act") + KEPT, body).url == url(third) + KEPT
    body = {"action": "approve", "packet_hash": factories.seen(third)}
    assert client.post(url(third, "act") + KEPT, body).url == url(third) + KEPT
    assert (
        "Nothing more waits for you in your list" in client.get(url(third) + KEPT).content.decode()
    )


@pytest.mark.parametrize("kept", ["turn=%00", "password__regex=a", "p=999999", "o=x", "e=1"])
def test_filters_written_by_hand_harm_nothing(client, cast, waiting, kept):
    client.force_login(cast.steward)

    answer = client.get(url(waiting[0]), {"_changelist_filters": kept})

    assert answer.status_code == 200
    assert answer.context["queue"].total == 3


def test_several_are_approved_from_the_list_as_they_were_shown(client, cast, waiting):
    patch = VIEW.replace("driver_hourly", "driver_daily").replace("owner: rides", "owner: growth")
    for version in waiting:
        factories.approve(version, cast.second_steward)
    version = make_version(cast, state=State.IN_REVIEW, text=patch)
    other = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 1d"))
    client.force_login(cast.steward)
    chosen = {"action": "approve_chosen", "_selected_action": [version.pk, other.pk]}

    page = client.post(f"{LIST}?state=in_review", chosen)

    assert [line.version for line in page.context["ready"]] == [version]
    assert [line.why for line in page.context["others"]] == [
        "is a major change with features that are not public"
    ]
    told = [f"{version.pk}:{factories.seen(version)}", f"{other.pk}:{factories.seen(other)}", "x:"]
    answer = client.post(f"{LIST}approve-chosen/", {"version": told, "back": "state=in_review"})
    assert answer.url == f"{LIST}?state=in_review"
    said = [str(message) for message in client.get(LIST).context["messages"]]
    assert said[-1] == "Your approval of driver_daily@1.0.1 is recorded."
    assert "driver_hourly@2.0.0 is a major change" in said[0]


def test_what_lacks_evidence_that_the_policy_wants_is_not_offered(client, cast, waiting):
    for version in waiting:
        factories.approve(version, cast.second_steward)
    Project.objects.filter(pk=cast.project.pk).update(evidence_required=["profile"])
    patch = VIEW.replace("driver_hourly", "driver_daily").replace("owner: rides", "owner: growth")
    version = make_version(cast, state=State.IN_REVIEW, text=patch)
    client.force_login(cast.steward)
    chosen = {"action": "approve_chosen", "_selected_action": [version.pk]}

    (line,) = client.post(f"{LIST}?state=in_review", chosen).context["others"]

    assert "wants profile before an approval" in line.why


def test_nobody_approves_together_who_may_not(client, cast, waiting):
    client.force_login(cast.author)

    page = client.get(LIST).content.decode()
    told = [f"{each.pk}:{factories.seen(each)}" for each in waiting]
    client.post(f"{LIST}approve-chosen/", {"version": told})

    assert "approve_chosen" not in page
    assert {each.state for each in FeatureViewVersion.objects.all()} == {State.IN_REVIEW}


def test_a_line_says_what_changed_what_it_touches_and_who_owns_it(client, cast):
    make_version(cast)
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 1d"))
    client.force_login(cast.steward)

    said = " ".join(client.get(LIST).content.decode().split())

    assert "ttl 2d became 1d" in said
    assert "owned by rides" in said
    assert "waits for" in said


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        ({}, ""),
        ({"reasons": ["first version"]}, "first version"),
        ({"reasons": ["a", "b", "c", "d"], "impact": ["s: v:f", "s: v:g"]},
         "a; b; and 2 more; read by 1 service"),
        ({"reasons": ["a"], "breaks": ["s (v:f)"], "impact": ["s: v:f"]}, "a; breaks s (v:f)"),
    ],
)  # fmt: skip
def test_a_packet_in_one_line(packet, words):
    assert in_short(packet) == words


def test_the_first_page_says_how_much_is_asked_of_the_person(client, cast, waiting):
    client.force_login(cast.author)
    client.post(url(waiting[0], "ask"), {"reviewer": ["second_steward"]})
    assert "asked of you" not in client.get("/admin/").content.decode()
    client.force_login(cast.steward)

    assert "2 asked of you, longest since" in client.get("/admin/").content.decode()
