"""Every step of a version's life over HTTP: who may take it, from where, what trace it leaves."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product

import pytest
from django.utils import timezone
from guardian.shortcuts import assign_perm

from registry import approval, lifecycle
from registry.choices import Action, State
from registry.models import AuditEntry, FeatureViewVersion
from registry.operations.lifecycle import glass, releases, submissions
from registry.operations.people import tokens
from tests import factories
from tests.factories import (
    AT,
    VIEW,
    apply,
    make_ready,
    make_service_account,
    make_version,
    token_for,
    verbs_of,
)

pytestmark = pytest.mark.django_db

BASE = "/api/v1/projects/rides/feature-views/driver_hourly/versions"
#: What says which packet it is about, and what looks at a broken glass.
BINDING = (
    Action.APPROVE, Action.REJECT, Action.BREAK_GLASS, Action.CONFIRM, Action.OBJECT,
)  # fmt: skip
LOOKS = (Action.CONFIRM, Action.OBJECT)
#: Where each action is tried from, and where it leads.
STEPS = {
    Action.SUBMIT: (State.DRAFT, State.IN_REVIEW),
    Action.WITHDRAW: (State.IN_REVIEW, State.DRAFT),
    Action.APPROVE: (State.IN_REVIEW, State.APPROVED),
    Action.REJECT: (State.IN_REVIEW, State.DRAFT),
    Action.BREAK_GLASS: (State.IN_REVIEW, State.APPROVED),
    Action.CONFIRM: (State.APPROVED, State.APPROVED),
    Action.OBJECT: (State.APPROVED, State.DEPRECATED),
    Action.PROMOTE: (State.APPROVED, State.APPROVED),
    Action.DEPRECATE: (State.APPROVED, State.DEPRECATED),
    Action.RESTORE: (State.DEPRECATED, State.APPROVED),
    Action.RETIRE: (State.DEPRECATED, State.RETIRED),
}
WRITERS = {"author", "owner", "superuser"}
STEWARDS = {"steward", "owner", "superuser"}
ALLOWED = {
    Action.SUBMIT: WRITERS,
    Action.WITHDRAW: WRITERS,
    **dict.fromkeys(set(Action) - {Action.SUBMIT, Action.WITHDRAW}, STEWARDS),
}
PEOPLE = ("anonymous", "outsider", "consumer", "auditor", "operator", "author", "steward", "owner")


def version_in(state: State, cast) -> FeatureViewVersion:
    """Make a version in ``state``; approved ones are ready, but another version is the default."""
    if state in (State.DRAFT, State.IN_REVIEW):
        return make_version(cast, state=state)
    version = make_version(cast)
    make_ready(version)
    make_ready(make_version(cast, text=VIEW.replace("acc_rate", "accept_rate")))
    second = FeatureViewVersion.objects.get(major=2)
    releases.promote_version(version=second, actor=cast.steward, at=AT)
    if state is not State.APPROVED:
        releases.deprecate_version(version=version, actor=cast.steward, at=AT)
    if state is State.RETIRED:
        releases.retire_version(version=version, actor=cast.steward, at=AT)
    return FeatureViewVersion.objects.get(pk=version.pk)


def act(client, version, action, **body):
    """Take a step, deciding on what stands now unless ``packet_hash`` says otherwise."""
    if action in BINDING:
        body = {"packet_hash": factories.seen(version)} | body
    return client.post(f"{BASE}/{version.number or 'draft'}/{action}", body)


def break_glass(version, actor):
    glass.break_glass(
        version=version, actor=actor, at=timezone.now(), comment="It cannot wait.",
        packet_hash=factories.seen(version),
    )  # fmt: skip


@pytest.mark.parametrize("who", [*PEOPLE, "superuser"])
@pytest.mark.parametrize("action", list(Action))
def test_who_may_take_a_step_and_what_it_leaves(api, cast, action, who):
    start, end = STEPS[action]
    version = version_in(start, cast)
    if action in LOOKS:
        version = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 3d"))
        break_glass(version, cast.second_steward)
    before = verbs_of(version)
    permitted = who in ALLOWED[action]
    refusal = {"anonymous": 401, "outsider": 404}.get(who, 403)

    response = act(api(getattr(cast, who, None)), version, action, comment="it cannot wait")

    assert response.status_code == (200 if permitted else refusal)
    version.refresh_from_db()
    assert version.state == (end if permitted else start)
    left = [lifecycle.VERB[action].rpartition(".")[2]] if permitted else []
    if permitted and action is Action.CONFIRM:  # which is an approval, too
        left = ["approved", *left]
    assert verbs_of(version) == before + left
    if permitted:
        assert response.json()["state"] == end
        entry = AuditEntry.objects.filter(subject_id=str(version.pk)).first()
        assert (entry.actor, entry.data["comment"]) == (getattr(cast, who), "it cannot wait")
        assert entry.project_name == "rides"


@pytest.mark.parametrize(
    ("state", "action"), sorted(set(product(State, Action)) - lifecycle.TRANSITIONS.keys())
)
def test_a_step_from_the_wrong_state_is_a_conflict(api, cast, state, action):
    version = version_in(state, cast)
    before = verbs_of(version)

    response = act(api(cast.owner), version, action, comment="because it has to be")

    assert (response.status_code, response.json()["code"]) == (409, "transition_not_allowed")
    assert f"cannot {action} a version that is {state}" in response.json()["detail"]
    version.refresh_from_db()
    assert (version.state, verbs_of(version)) == (state, before)


@pytest.mark.parametrize("who", ["consumer", "author"])
def test_a_refusal_stays_in_the_trail_though_its_request_changed_nothing(api, cast, who):
    version = make_version(cast, state=State.IN_REVIEW)

    act(api(getattr(cast, who)), version, Action.APPROVE)

    denied = AuditEntry.objects.get(verb="access.denied")
    assert (denied.actor, denied.project_name) == (getattr(cast, who), "rides")
    assert denied.subject_label == f"POST {BASE}/1.0.0/approve"
    assert denied.data["code"] == "not_permitted"
    assert "approve_featureview" in denied.data["detail"]


def test_an_editors_try_to_approve_is_in_the_projects_own_trail(api, cast):
    draft = make_version(cast, state=State.DRAFT)
    apply(VIEW.replace("Conversion rate", "Share"), cast, actor=cast.owner)
    api(cast.owner).post(f"{BASE}/draft/submit")

    response = api(cast.owner).post(f"{BASE}/1.0.0/approve")

    assert (response.status_code, response.json()["code"]) == (403, "editor_may_not_decide")
    denied = AuditEntry.objects.get(verb="access.denied")
    assert denied.project_name == "rides"
    assert "approved" not in verbs_of(draft)


def test_a_right_on_one_view_is_no_right_on_another(api, cast):
    draft = make_version(cast, state=State.DRAFT)
    assign_perm("approve_featureview", cast.operator, draft.feature_view)
    version = submissions.submit_version(
        version=draft, actor=cast.author, at=AT, look=factories.look
    )
    other = VIEW.replace("driver_hourly", "driver_daily")
    make_version(cast, state=State.IN_REVIEW, text=other)
    client = api(cast.operator)

    path = BASE.replace("driver_hourly", "driver_daily")
    assert client.post(f"{path}/1.0.0/reject", {"comment": "No."}).status_code == 403
    assert act(client, version, Action.REJECT, comment="No.").status_code == 200


@pytest.mark.parametrize(
    ("action", "body", "code"),
    [
        (Action.APPROVE, {"comment": 5}, "invalid_body"),
        (Action.APPROVE, {"comment": None}, "invalid_body"),
        (Action.APPROVE, {"comment": "a\0b"}, "invalid_comment"),
        (Action.APPROVE, {"coment": "typo"}, "invalid_body"),
        (Action.APPROVE, {"comment": "yes", "force": True}, "invalid_body"),
        (Action.RETIRE, {"comment": "yes", "force": "false"}, "invalid_body"),
        (Action.REJECT, {}, "comment_needed"),
        (Action.REJECT, {"comment": " \n"}, "comment_needed"),
        (Action.BREAK_GLASS, {}, "comment_needed"),
        (Action.BREAK_GLASS, {"comment": "x" * 10_001}, "invalid_comment"),
        (Action.BREAK_GLASS, {"comment": "It cannot wait.", "until": "soon"}, "invalid_body"),
        (Action.BREAK_GLASS, {"comment": "It cannot wait.", "until": 5}, "invalid_body"),
        (
            Action.BREAK_GLASS,
            {"comment": "It cannot wait.", "until": "0001-01-01"},
            "invalid_until",
        ),
        (
            Action.BREAK_GLASS,
            {"comment": "It cannot wait.", "until": "9999-12-31T23:59:59Z"},
            "invalid_until",
        ),
        (Action.APPROVE, {"until": "2026-03-01T00:00:00Z"}, "invalid_body"),
    ],
)
def test_a_body_that_says_nothing_clear_is_refused(api, cast, action, body, code):
    version = make_version(cast, state=State.IN_REVIEW)

    response = act(api(cast.steward), version, action, **body)

    assert (response.status_code, response.json()["code"]) == (422, code)
    version.refresh_from_db()
    assert version.state == State.IN_REVIEW


def test_no_body_at_all_is_an_empty_comment(api, cast):
    make_version(cast, state=State.IN_REVIEW)

    assert api(cast.author).post(f"{BASE}/1.0.0/withdraw").status_code == 200


@pytest.mark.parametrize("action", [Action.APPROVE, Action.REJECT, Action.BREAK_GLASS])
def test_a_decision_without_what_was_looked_at_is_refused(api, cast, action):
    version = make_version(cast, state=State.IN_REVIEW)

    response = api(cast.steward).post(f"{BASE}/1.0.0/{action}", {"comment": "Fine, as it is."})

    assert (response.status_code, response.json()["code"]) == (422, "packet_hash_missing")
    version.refresh_from_db()
    assert (version.state, version.reviews.count()) == (State.IN_REVIEW, 0)


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        ("draft", 404, "version_not_found"),
        ("9.0.0", 404, "version_not_found"),
        ("1.0", 422, "invalid_version"),
        ("1.0.0.0", 422, "invalid_version"),
        ("v1", 422, "invalid_version"),
        ("01.0.0", 422, "invalid_version"),
        ("1.0.99999999999999999999", 422, "invalid_version"),
    ],
)
def test_a_number_that_names_no_version(api, cast, number, status, code):
    make_version(cast)

    for response in (
        api(cast.steward).get(f"{BASE}/{number}"),
        api(cast.steward).get(f"{BASE}/{number}/review"),
        api(cast.steward).post(f"{BASE}/{number}/deprecate"),
    ):
        assert (response.status_code, response.json()["code"]) == (status, code)


def test_an_action_there_is_not_is_not_found(api, cast):
    make_version(cast)

    assert api(cast.steward).post(f"{BASE}/1.0.0/publish").status_code == 404
    assert api(cast.steward).get(f"{BASE}/1.0.0/approve").status_code == 405


def test_a_version_says_what_it_means(api, cast):
    version = make_version(cast)

    body = api(cast.consumer).get(f"{BASE}/1.0.0").json()

    assert body["spec"]["source"]["path"] == "driver_stats.parquet"
    assert (body["state"], body["ready"], body["default"]) == ("approved", False, False)
    assert body["reasons"] == ["first version"]
    assert body["data_fingerprint"] == version.data_fingerprint
    assert (body["created_by"], body["approved_at"]) == ("author", body["submitted_at"])


def test_the_review_holds_the_evidence_and_who_agreed(api, cast):
    make_version(cast)
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 1d"))

    body = api(cast.auditor).get(f"{BASE}/2.0.0/review").json()
    assert (body["state"], body["required"], body["approvals"]) == ("in_review", 1, [])
    packet = body["packet"]
    assert (packet["version"], packet["based_on"], packet["class"]) == ("2.0.0", "1.0.0", "major")
    assert packet["reasons"] == ["ttl 2d became 1d"]
    assert packet["diff"] == [{"path": "view.ttl", "before": "2d", "after": "1d"}]
    assert packet["source"]["rows"] == 12
    assert body["changes"] == [{"path": "view.ttl", "lines": "- 2d\n+ 1d"}]

    seen = {"packet_hash": body["packet_hash"]}
    api(cast.steward).post(f"{BASE}/2.0.0/approve", {"comment": "fine"} | seen)
    body = api(cast.auditor).get(f"{BASE}/2.0.0/review").json()
    (approval,) = body["approvals"]
    assert (approval["current"], body["given"]) == (True, 1)
    assert (approval["reviewer"], approval["verdict"], approval["comment"]) == (
        "steward",
        "approved",
        "fine",
    )


def test_a_robot_with_a_stewards_role_cannot_decide(api, cast):
    robot = make_service_account("robot", cast, role="steward")
    version = make_version(cast, state=State.IN_REVIEW)

    for action in (Action.APPROVE, Action.REJECT):
        response = act(api(robot), version, action, comment="beep")
        assert (response.status_code, response.json()["code"]) == (
            403,
            "service_account_may_not_decide",
        )


def test_nobody_makes_a_token_in_a_persons_name(cast):
    with pytest.raises(tokens.NotYourToken, match="makes their tokens themselves"):
        tokens.issue_token(user=cast.steward, name="lent", actor=cast.superuser, at=timezone.now())


def test_somebody_logged_in_needs_no_token_but_a_csrf_one(client, cast):
    version = make_version(cast, state=State.IN_REVIEW)
    client.force_login(cast.steward)
    client.handler.enforce_csrf_checks = True

    response = act(client, version, Action.APPROVE)

    assert response.status_code == 403
    version.refresh_from_db()
    assert version.state == State.IN_REVIEW


def test_a_decision_can_name_the_evidence_it_is_about(api, cast):
    version = make_version(cast, state=State.IN_REVIEW)
    client = api(cast.steward)
    seen = client.get(f"{BASE}/1.0.0/review").json()["packet_hash"]
    api(cast.author).post(f"{BASE}/1.0.0/withdraw")
    api(cast.author).post(f"{BASE}/1.0.0/submit")

    for action in (Action.APPROVE, Action.REJECT):
        response = act(client, version, action, comment="as seen", packet_hash=seen)
        assert (response.status_code, response.json()["code"]) == (409, "state_changed")
    seen = client.get(f"{BASE}/1.0.0/review").json()["packet_hash"]
    assert act(client, version, Action.APPROVE, packet_hash=seen).json()["state"] == "approved"


def test_two_approvals_are_two_people_over_http_too(api, cast):
    text = VIEW.replace("sensitivity: internal", "sensitivity: restricted")
    make_version(cast, state=State.DRAFT)
    version = make_version(cast, state=State.IN_REVIEW, text=text)
    first = api(token=token_for(cast.steward))

    assert act(first, version, Action.APPROVE).json()["state"] == "in_review"
    assert act(first, version, Action.APPROVE).json()["code"] == "already_reviewed"
    assert act(api(cast.second_steward), version, Action.APPROVE).json()["state"] == "approved"
    assert approval.approvals_given(FeatureViewVersion.objects.get(pk=version.pk)) == 2


def test_a_mark_is_everywhere_until_somebody_confirmed_it(api, cast):
    version = make_version(cast, state=State.IN_REVIEW)
    until = timezone.now() + timedelta(hours=2)
    answer = act(
        api(cast.owner),
        version,
        Action.BREAK_GLASS,
        comment="It cannot wait.",
        until=until.isoformat(),
    )

    mark = answer.json()["break_glass"]
    assert (mark["by"], mark["reason"], mark["verdict"]) == ("owner", "It cannot wait.", None)
    assert datetime.fromisoformat(mark["until"]) == until
    consumer = api(cast.consumer)
    view = consumer.get("/api/v1/projects/rides/feature-views/driver_hourly").json()
    for each in (
        consumer.get(f"{BASE}/1.0.0").json(),
        consumer.get(f"{BASE}/1.0.0/review").json(),
        consumer.get(BASE).json()["results"][0],
        view["versions"][0],
    ):
        assert each["break_glass"] == mark

    act(api(cast.steward), version, Action.CONFIRM)
    assert consumer.get(f"{BASE}/1.0.0").json()["break_glass"] is None


def test_an_objection_stays_on_what_was_objected_to(api, cast):
    version = make_version(cast, state=State.IN_REVIEW)
    break_glass(version, cast.owner)

    assert act(api(cast.steward), version, Action.OBJECT).status_code == 422
    answer = act(api(cast.steward), version, Action.OBJECT, comment="The wrong column.").json()

    assert (answer["state"], answer["break_glass"]["verdict"]) == ("deprecated", "objected")
    assert answer["break_glass"]["looked_by"] == "steward"
    assert answer["break_glass"]["comment"] == "The wrong column."


def test_what_has_no_broken_glass_has_nothing_to_look_at(api, cast):
    version = make_version(cast)

    for action in LOOKS:
        answer = act(api(cast.second_steward), version, action, comment="x")
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing_to_look_at")
