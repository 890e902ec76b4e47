"""Which commit said last what an object is, and whether that is still what is registered."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from registry.choices import State
from registry.models import AuditEntry, FeatureViewVersion, Origin
from registry.operations.lifecycle import reviews, submissions
from tests import factories
from tests.factories import AT, DEFINITIONS, ENTITY, SOURCE, VIEW, apply, approve, seen

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/definitions"
SERVICE = 'kind: FeatureService\nname: eta\nfeatures: ["driver_hourly:conv_rate"]\n'
COMMIT = "repository=https%3A%2F%2Fgit.example%2Frides&commit=0123456789abcdef&ref=main"
NEWER = COMMIT.replace("0123456789abcdef", "fedcba9876543210")
SHARE = VIEW.replace("Conversion rate", "Share")


@pytest.fixture
def push(api, cast):
    """Register files as a pipeline does, and give the answer."""

    def send(*texts, query=COMMIT, who=cast.author):
        files = [{"path": f"features/{n}.yaml", "text": text} for n, text in enumerate(texts)]
        data = json.dumps({"files": files})
        return api(who).post(f"{URL}?{query}", data, content_type="application/json")

    return send


@pytest.fixture
def listed(api, cast):
    def names(query="", who=cast.consumer):
        response = api(who).get(f"{URL}/registered{query}")
        assert response.status_code == 200, response.json()
        return {each["name"]: each for each in response.json()["results"]}

    return names


def test_each_object_that_is_sent_keeps_its_commit(push, listed, cast):
    assert push(DEFINITIONS, SERVICE).status_code == 200

    found = listed()

    assert {name: each["standing"] for name, each in found.items()} == {
        "driver": "in_step",
        "driver_stats": "in_step",
        "driver_hourly": "waits",
        "eta": "in_step",
    }
    origin = found["eta"]["origin"]
    assert origin.pop("applied_at")
    assert origin == {
        "repository": "https://git.example/rides",
        "ref": "main",
        "commit": "0123456789abcdef",
        "path": "features/1.yaml",
        "applied_by": "author",
    }
    entry = AuditEntry.objects.get(verb="project.applied")
    assert (entry.after["commit"], entry.after["definitions"]) == ("0123456789abcdef", 4)
    assert entry.act_id == AuditEntry.objects.get(verb="entity.created").act_id


def test_what_another_door_registers_has_drifted_and_the_next_commit_says_it_again(
    push, listed, cast
):
    push(DEFINITIONS, SERVICE)
    other = SERVICE.replace("conv_rate", "acc_rate")
    apply("\n---\n".join((ENTITY + "owner: me\n", SOURCE + "owner: me\n", SHARE, other)), cast)

    drifted = listed("?standing=drifted")

    assert set(drifted) == {"driver", "driver_stats", "driver_hourly", "eta"}
    assert drifted["eta"]["changed_by"] == "author"
    push("\n---\n".join((ENTITY + "owner: me\n", SHARE)), query=NEWER)
    found = listed()
    assert [found[name]["standing"] for name in ("driver", "driver_hourly", "eta")] == [
        "in_step",
        "waits",
        "drifted",
    ]
    assert found["driver"]["origin"]["commit"] == "fedcba9876543210"
    assert found["eta"]["origin"]["commit"] == "0123456789abcdef"
    assert Origin.objects.count() == 4


def test_a_view_is_in_step_once_it_is_approved_and_drifts_with_what_is_submitted_after(
    push, listed, cast
):
    push(DEFINITIONS, query=f"{COMMIT}&submit=true")
    assert listed()["driver_hourly"]["standing"] == "waits"
    approve(FeatureViewVersion.objects.get(), cast.steward)
    assert listed()["driver_hourly"]["standing"] == "in_step"

    apply(SHARE, cast)
    assert listed()["driver_hourly"]["standing"] == "in_step"  # nobody submitted it yet
    draft = FeatureViewVersion.objects.get(state=State.DRAFT)
    submissions.submit_version(version=draft, actor=cast.author, at=AT, look=factories.look)

    found = listed()["driver_hourly"]
    assert (found["standing"], found["version"], found["state"]) == (
        "drifted",
        "1.0.1",
        "in_review",
    )


def test_a_rejected_version_waits_for_its_author(push, listed, cast):
    push(DEFINITIONS, query=f"{COMMIT}&submit=true")
    version = FeatureViewVersion.objects.get()
    reviews.reject_version(
        version=version, actor=cast.steward, at=AT, comment="no", packet_hash=seen(version)
    )

    assert listed()["driver_hourly"]["standing"] == "waits"


def test_a_source_that_changes_leaves_its_views_in_step(push, listed, cast):
    push(DEFINITIONS, query=f"{COMMIT}&submit=true")
    approve(FeatureViewVersion.objects.get(), cast.steward)
    apply(SOURCE.replace("driver_stats.parquet", "newer.parquet"), cast)

    found = listed()

    assert (found["driver_stats"]["standing"], found["driver_hourly"]["standing"]) == (
        "drifted",
        "in_step",
    )


def test_what_no_commit_said_stands_to_none(listed, cast):
    apply(DEFINITIONS, cast)

    assert {each["standing"] for each in listed().values()} == {None}
    assert listed("?standing=drifted") == {}


def test_a_plan_notes_no_commit(push, cast):
    assert push(DEFINITIONS, query=f"{COMMIT}&dry_run=true").status_code == 200

    assert not Origin.objects.exists()


@pytest.mark.parametrize(
    "query",
    [
        "commit=0123456789abcdef",
        "repository=x",
        "ref=main",
        "repository=x&commit=HEAD",
        "repository=x&commit=0123",
        "repository=x&commit=" + "a" * 65,
        "repository=" + "x" * 301 + "&commit=0123456",
        "repository=x%0Ay&commit=0123456",
        "repository=x&commit=0123456&ref=" + "r" * 256,
        "repository=x%00&commit=0123456",
        "repository=https%3A%2F%2Fu%3Ap%2Fw%40git.example%2Fx&commit=0123456",
        "repository=x%E2%80%AEy&commit=0123456",
    ],
)
def test_what_is_no_commit_is_refused_and_nothing_registered(push, cast, query):
    response = push(DEFINITIONS, query=query)

    assert (response.status_code, response.json()["code"]) == (422, "invalid_commit")
    assert not FeatureViewVersion.objects.exists()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("https://u:secret@git.example/x", "https://git.example/x"),
        ("https://u:se@cret@git.example:8443/x", "https://git.example:8443/x"),
        ("https://secret@git.example/x?token=secret#secret", "https://git.example/x"),
        ("https://git.example/@scope/x", "https://git.example/@scope/x"),
        ("ssh://git@git.example/x", "ssh://git.example/x"),
        ("git@git.example:acme/x", "git@git.example:acme/x"),
        ("acme/x", "acme/x"),
    ],
)
def test_no_log_in_of_a_pipeline_is_kept_or_shown(push, listed, cast, sent, kept):
    query = urlencode({"repository": sent, "commit": "0123456"})

    assert push(DEFINITIONS, query=query).status_code == 200

    assert listed()["driver"]["origin"]["repository"] == kept
    assert not AuditEntry.objects.filter(after__icontains="secret").exists()


def test_a_file_may_be_called_anything_and_is_shown_in_a_line(api, listed, cast):
    files = [{"path": "a\x00b\u202e\n.yaml", "text": DEFINITIONS}]

    response = api(cast.author).post(
        f"{URL}?{COMMIT}", json.dumps({"files": files}), content_type="application/json"
    )

    assert response.status_code == 200
    assert listed()["driver"]["origin"]["path"] == "a\ufffdb\ufffd\ufffd.yaml"


@pytest.mark.parametrize(
    ("who", "status"), [("outsider", 404), ("consumer", 200), ("auditor", 200), ("author", 200)]
)
def test_who_may_see_it(api, cast, push, who, status):
    push(DEFINITIONS)

    assert api(getattr(cast, who)).get(f"{URL}/registered").status_code == status
    assert api().get(f"{URL}/registered").status_code == 401
    assert api(cast.consumer).get(f"{URL}/registered?standing=x").status_code == 422


def test_pages_of_the_admin_say_where_it_is_from_and_that_it_drifted(client, cast, push):
    push(DEFINITIONS, query=f"{COMMIT.replace('rides', '%3Cb%3Erides')}&submit=true")
    version = FeatureViewVersion.objects.get()
    apply(SHARE.replace("name: driver_hourly", "name: driver_hourly"), cast, submit=True)
    apply(ENTITY + "owner: me\n", cast)
    client.force_login(cast.owner)
    pages = {
        f"/admin/registry/featureview/{version.feature_view_id}/change/": "drifted",
        f"/admin/registry/featureviewversion/{version.pk}/change/": "drifted",
        f"/admin/registry/project/{cast.project.pk}/change/": "Registered otherwise",
    }
    for url, words in pages.items():
        page = client.get(url).content.decode()
        assert "https://git.example/&lt;b&gt;rides" in page, url
        assert "0123456789ab" in page
        assert words in page
