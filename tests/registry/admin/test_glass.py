"""A broken glass in the admin: its form, its mark on every page, and the queue it waits in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from registry.choices import State
from registry.models import BrokenGlass, Feature, FeatureViewVersion
from registry.operations.lifecycle import after_glass, glass
from tests import factories
from tests.factories import VIEW, make_version

pytestmark = pytest.mark.django_db
LIST = "/admin/registry/featureviewversion/"
WHY = "The scorer is down."


def page(client, path):
    return " ".join(client.get(path).content.decode().split())


def of(version):
    return f"{LIST}{version.pk}/change/"


def act(client, version, action, **also):
    body = {"action": action, "comment": WHY, "packet_hash": factories.seen(version)} | also
    return client.post(f"{LIST}{version.pk}/act/", body)


@pytest.fixture
def waiting(cast):
    return make_version(cast, state=State.IN_REVIEW)


@pytest.fixture
def broken(cast, waiting):
    now = timezone.now()
    return glass.break_glass(
        version=waiting, actor=cast.owner, at=now, comment=WHY, packet_hash=factories.seen(waiting)
    )


@pytest.mark.parametrize(
    ("who", "is_offered"),
    [
        ("owner", True),
        ("steward", True),
        ("author", False),
        ("consumer", False),
        ("auditor", False),
    ],
)
def test_who_may_is_offered_to_break_the_glass(client, cast, waiting, who, is_offered):
    client.force_login(getattr(cast, who))

    assert ("Break the glass…" in page(client, of(waiting))) == is_offered
    act(client, waiting, "break-glass", hours="4")

    assert BrokenGlass.objects.exists() == is_offered
    if is_offered:
        row = BrokenGlass.objects.get()
        assert timedelta(hours=3) < row.ends_at - row.broken_at <= timedelta(hours=4)
        assert (row.reason, str(row.broken_by)) == (WHY, who)


def test_a_page_without_what_it_showed_breaks_nothing(client, cast, waiting):
    client.force_login(cast.owner)

    act(client, waiting, "break-glass", packet_hash="")
    act(client, waiting, "break-glass", comment="")

    assert not BrokenGlass.objects.exists()


def test_why_it_cannot_be_broken_is_said_in_place_of_the_form(client, cast, broken):
    second = make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("ttl: 2d", "ttl: 3d"))
    client.force_login(cast.owner)

    said = page(client, of(second))

    assert "The glass cannot be broken" in said
    assert "nobody has looked at driver_hourly@1.0.0" in said.lower().replace("<wbr>", "")
    assert "Break the glass…" not in said


def test_the_mark_is_on_every_page_until_somebody_confirmed_it(client, cast, broken):
    feature = Feature.objects.filter(version=broken).first()
    pages = (
        "/admin/registry/feature/", "/admin/registry/featureview/", of(broken), LIST,
        f"{LIST}?state=in_review", "/admin/",
        f"/admin/registry/featureview/{broken.feature_view_id}/change/",
        f"/admin/registry/feature/{feature.pk}/change/",
    )  # fmt: skip
    client.force_login(cast.steward)
    assert [path for path in pages if "broken glass" not in page(client, path).lower()] == []
    assert WHY in page(client, of(broken))
    assert WHY in page(client, pages[-1])

    act(client, broken, "confirm")

    assert [path for path in pages if ">broken glass<" in page(client, path).lower()] == []


def test_it_waits_first_in_the_queue_of_who_may_look_at_it(client, cast, broken):
    make_version(cast, state=State.IN_REVIEW, text=VIEW.replace("hourly", "daily"))
    client.force_login(cast.steward)

    for turn in ("", "&turn=me", "&turn=may"):
        rows = client.get(f"{LIST}?state=in_review{turn}").context["cl"].result_list
        assert [str(row) for row in rows] == ["driver_hourly@1.0.0", "driver_daily@1.0.0"]
    assert "1 of 2 waiting for you" in page(client, of(broken))
    assert act(client, broken, "confirm").url.startswith(LIST)

    client.force_login(cast.owner)
    rows = client.get(f"{LIST}?state=in_review&turn=me").context["cl"].result_list
    assert [str(row) for row in rows] == ["driver_daily@1.0.0"]


def test_whoever_broke_it_is_told_that_somebody_else_looks(client, cast, broken):
    client.force_login(cast.owner)

    said = page(client, of(broken))

    assert "somebody else has to look at it" in said
    assert 'value="confirm"' not in said


def test_an_objection_is_shown_with_its_reason(client, cast, broken):
    client.force_login(cast.steward)

    act(client, broken, "object", comment="")
    assert FeatureViewVersion.objects.get(pk=broken.pk).state == State.APPROVED
    act(client, broken, "object", comment="It reads \u202e the wrong column.")

    said = page(client, of(broken))
    assert "The glass was broken, and steward objected." in said
    assert "U+202E" in said
    assert "Take the deprecation back" not in said
    assert FeatureViewVersion.objects.get(pk=broken.pk).state == State.DEPRECATED


def test_readers_see_the_mark_and_no_buttons(client, cast, broken):
    cast.consumer.is_staff = False
    cast.consumer.save()
    client.force_login(cast.consumer)

    said = page(client, of(broken))

    assert "The glass was broken" in said
    assert 'value="confirm"' not in said


def test_after_its_end_the_page_says_what_it_lacks(client, cast, broken):
    after_glass.end_glasses(at=timezone.now() + timedelta(days=2))
    BrokenGlass.objects.get()
    client.force_login(cast.steward)

    assert "Confirm" in page(client, of(broken))
