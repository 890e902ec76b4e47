"""A feature's page: who sees what of its values; a run taken as the baseline; charts in words."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from materialization.charts import band, course, pairs
from materialization.models import Baseline, MaterializationRun
from materialization.requests.baselines import set_baseline
from registry.models import Feature
from tests.factories import make_version
from tests.materialization.quality.test_drift_of_runs import OTHER, USUAL, World
from tests.materialization.run_world import HOUR, committed

pytestmark = pytest.mark.django_db


@pytest.fixture
def world(cast, sources):
    made = World(cast, sources, "ks: 0.3")
    made.run()
    for mean in (USUAL, OTHER):
        made.latest = made.run(mean)
    return made


def page(client, user, world, name="conv_rate"):
    client.force_login(user)
    feature = Feature.objects.get(version=world.version, name=name)
    return client.get(reverse("admin:registry_feature_change", args=[feature.pk]))


@pytest.mark.parametrize(
    ("who", "status", "values"),
    [
        ("consumer", 200, True),
        ("author", 200, True),
        ("steward", 200, False),
        ("auditor", 200, False),
        ("outsider", 302, False),
    ],
)
def test_values_are_drawn_for_those_who_may_read_them(client, cast, world, who, status, values):
    response = page(client, getattr(cast, who), world)

    assert response.status_code == status
    if status == 200:
        text = response.content.decode()
        assert "Kolmogorov-Smirnov statistic" in text
        assert ("shares of the values in" in text) == values
        assert ("Median, within" in text) == values
        assert ("Values are shown to those who may read" in text) != values
        assert text.count('role="img"') >= 4
        assert "style=" not in "".join(re.findall(r"<svg class=\"as-chart.*?</svg>", text))


@pytest.mark.parametrize(
    ("who", "values"), [("consumer", True), ("steward", False), ("auditor", False)]
)
def test_a_runs_page_draws_its_drift_for_those_who_may_read_the_values(
    client, cast, world, who, values
):
    client.force_login(getattr(cast, who))
    name = "admin:materialization_materializationrun_change"

    text = client.get(reverse(name, args=[world.latest.pk])).content.decode()

    assert "Kolmogorov-Smirnov statistic" in text
    assert text.count(">the baseline</td>") == text.count(">the run before</td>") == 1
    drawn = "shares of the values in 22 parts, in this run and at the baseline"
    assert (drawn in text) is values
    assert ("in this run and in the run before" in text) is values
    assert ("filled: this run; outlined: the baseline of" in text) is values
    assert ("Distributions are shown to those who may read" in text) is not values
    for nothing in (None, {"baseline": {}}):
        MaterializationRun.objects.update(drift=nothing)
        assert ">Drift<" not in client.get(reverse(name, args=[world.latest.pk])).content.decode()


def test_a_feature_without_a_run_says_so(client, cast, sources):
    with committed():
        version = make_version(cast)
    world = type("World", (), {"version": version})

    text = page(client, cast.consumer, world).content.decode()

    assert "No run has stored rows yet." in text
    assert "No run was compared yet" in text
    listed = client.get(reverse("admin:registry_feature_changelist"), {"q": "conv"})
    assert listed.status_code == 200
    assert "conv_rate" in listed.content.decode()
    client.force_login(cast.outsider)
    listed = client.get(reverse("admin:registry_feature_changelist"))
    assert "conv_rate" not in listed.content.decode()


def test_a_page_says_what_there_is_too_little_of_to_compare(client, cast, world):
    text = page(client, cast.consumer, world, "acc_rate").content.decode()

    assert "it takes 1,000 rows on both sides" in text
    assert f"run {world.latest.pk} stored 60 and the baseline is of 200" in text


def test_figures_against_a_baseline_that_was_replaced_say_so(client, cast, world):
    assert "which that of" not in page(client, cast.consumer, world).content.decode()

    set_baseline(
        version=world.version, first_run=world.latest.pk, last_run=world.latest.pk,
        reason="new prices", actor=cast.steward, at=world.latest.finished_at + HOUR,
    )  # fmt: skip

    assert "which that of" in page(client, cast.consumer, world).content.decode()


@pytest.mark.parametrize(("who", "done"), [("steward", True), ("author", False)])
def test_who_may_take_a_run_as_the_baseline(client, cast, world, who, done):
    client.force_login(getattr(cast, who))
    name = "admin:materialization_materializationrun"
    shown = client.get(reverse(f"{name}_change", args=[world.latest.pk])).content.decode()

    address = reverse(f"{name}_take_as_baseline", args=[world.latest.pk])
    refused = client.post(address, {"reason": "new\x00prices"}, follow=True).content.decode()
    assert ("as text can be stored" in refused) == done
    client.post(address, {"reason": "new prices"})

    assert ("Take as the baseline" in shown) == done
    assert Baseline.objects.count() == (2 if done else 1)
    assert (
        "drifted"
        in client.get(
            reverse("admin:registry_featureviewversion_change", args=[world.version.pk])
        ).content.decode()
    )


@pytest.mark.parametrize(
    "values",
    [[], [1.0], [None, 1.0, None], [float("inf"), 1.0], [float("nan")] * 3],
)
def test_of_what_has_no_course_none_is_drawn(values):
    assert course(values, "x") == ""


def test_what_is_drawn_stays_in_its_frame_and_leaves_gaps():
    drawn = band([(-1.7e308, 0.0, 1.7e308), (None,) * 3, (5.0, 5.0, 5.0), (1.0, 2.0, 3.0)], "<x>")

    assert drawn.count("<polyline") == 2
    assert 'aria-label="&lt;x&gt;"' in drawn
    points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", drawn)
    assert all(0 <= float(x) <= 600 and 0 <= float(y) <= 90 for x, y in points)
    assert pairs([0.0, 0.0], [0.0, 0.0], "x") == ""
    assert pairs([0.5, 0.5], [1.0, 0.0], "x").count("<rect") == 4


def test_a_run_is_drawn_beside_the_baseline_it_was_compared_with(client, cast, world):
    (before,) = Baseline.objects.all()
    client.force_login(cast.steward)
    name = "admin:materialization_materializationrun"
    address = reverse(f"{name}_take_as_baseline", args=[world.latest.pk])
    client.post(address, {"reason": "new prices"})
    assert Baseline.objects.latest("pk").set_at.date() > before.set_at.date()

    client.force_login(cast.consumer)
    shown = client.get(reverse(f"{name}_change", args=[world.latest.pk])).content.decode()

    assert f"outlined: the baseline of {before.set_at:%Y-%m-%d}" in shown


def test_a_course_has_its_least_and_greatest_value_and_when_it_was():
    drawn = course([0.491, 0.506], "x", ends=("2026-01-01 00:00", "2026-03-01 00:00"))

    assert re.findall("<span>(.*?)</span>", drawn) == [
        "0.506", "0.491", "2026-01-01 00:00", "2026-03-01 00:00",
    ]  # fmt: skip
    assert course([0.5, 0.5], "x").count("<span>") == 1
