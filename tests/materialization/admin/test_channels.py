"""Alert channels in the admin: who sees and changes them, what is never shown, what is refused."""

from __future__ import annotations

import pytest
from django.urls import reverse

from materialization.models import AlertChannel, AlertNotice
from materialization.quality.alerts.notices import note_attempt
from materialization.requests.channels import MOST_CHANNELS, add_channel
from registry.models import AuditEntry
from tests.factories import AT
from tests.undoing import walk

pytestmark = pytest.mark.django_db
LIST = reverse("admin:materialization_alertchannel_changelist")
ADD = reverse("admin:materialization_alertchannel_add")
URL = "jsons://hooks.example/s3cr3t"
MAY = ("operator", "steward", "owner", "superuser")
MAY_NOT = ("author", "consumer", "auditor", "outsider")


@pytest.fixture(autouse=True)
def _hosts(settings):
    settings.ALERT_HOSTS = ["hooks.example"]


@pytest.fixture
def channel(cast) -> AlertChannel:
    return add_channel(
        project=cast.project, actor=cast.operator, at=AT, name="chat", url=URL, severity="critical"
    )


def page_of(channel: AlertChannel, name: str = "change") -> str:
    return reverse(f"admin:materialization_alertchannel_{name}", args=[channel.pk])


def typed(project, **fields: str) -> dict[str, object]:
    return {"project": project, "name": "chat", "url": URL, "severity": "warning"} | fields


@walk("who", [*MAY, *MAY_NOT, "anonymous"])
def test_who_may_add_one(as_, cast, who):
    response = as_(who).post(ADD, typed(cast.project.pk))

    made = AlertChannel.objects.filter(name="chat")
    assert made.count() == (1 if who in MAY else 0)
    assert response.status_code == (403 if who in MAY_NOT else 302)
    entries = AuditEntry.objects.filter(verb="alert_channel.created")
    assert [entry.actor_name for entry in entries] == ([who] if who in MAY else [])


@walk("who", [*MAY, *MAY_NOT])
@pytest.mark.parametrize(
    ("button", "fields"),
    [("edit", {"severity": "warning", "enabled": "on"}), ("test", {}), ("remove", {})],
)
def test_who_may_press_which_button(as_, channel, who, button, fields):
    response = as_(who).post(page_of(channel, button), fields)

    verbs = {"edit": "changed", "test": "tested", "remove": "removed"}
    entries = AuditEntry.objects.filter(verb=f"alert_channel.{verbs[button]}")
    assert entries.count() == (1 if who in MAY else 0)
    assert response.status_code == (302 if who in MAY else 404)
    if button == "remove":
        assert AlertChannel.objects.exists() == (who not in MAY)
    if button == "test":
        assert AlertNotice.objects.filter(event="test").count() == (1 if who in MAY else 0)


@walk("who", [*MAY, *MAY_NOT])
def test_who_sees_one_and_nobody_its_address(as_, channel, who):
    client = as_(who)
    pages = [client.get(LIST), client.get(page_of(channel))]

    text = "".join(page.text for page in pages)
    assert ("hooks.example" in text) == (who in MAY)
    assert "s3cr3t" not in text


def test_the_installations_own_are_for_superusers(as_, cast):
    as_("owner").post(ADD, typed(""))
    assert not AlertChannel.objects.exists()
    as_("superuser").post(ADD, typed(""))

    channel = AlertChannel.objects.get()
    assert channel.project is None
    assert as_("owner").get(page_of(channel)).status_code == 302
    assert as_("owner").post(page_of(channel, "remove")).status_code == 404
    assert "the installation" in as_("superuser").get(page_of(channel)).text


def test_a_refused_address_is_not_repeated_and_nothing_is_made(as_, cast):
    page = as_("operator").post(ADD, typed(cast.project.pk, url="jsons://evil.example/s3cr3t"))

    assert page.status_code == 200
    assert "may not lead to evil.example" in page.text
    assert "s3cr3t" not in page.text
    assert not AlertChannel.objects.exists()


def test_a_project_of_others_cannot_be_chosen(as_, cast):
    from registry.operations.people import projects

    other = projects.create_project(name="other", actor=cast.outsider, at=AT)

    assert as_("operator").post(ADD, typed(other.pk)).status_code == 200
    assert not AlertChannel.objects.exists()


def test_an_empty_address_leaves_it_and_another_takes_its_place(as_, channel):
    client = as_("operator")
    client.post(page_of(channel, "edit"), {"severity": "warning", "enabled": "on", "url": ""})
    channel.refresh_from_db()
    assert (channel.url, channel.severity, channel.enabled) == (URL, "warning", True)

    fields = {"severity": "critical", "url": "jsons://hooks.example/other"}
    client.post(page_of(channel, "edit"), fields)
    channel.refresh_from_db()
    assert (channel.url, channel.enabled) == ("jsons://hooks.example/other", False)


def test_names_are_told_apart_and_their_number_is_bounded(as_, cast, channel):
    client = as_("operator")
    again = client.post(ADD, typed(cast.project.pk))
    assert "there is a channel &#x27;chat&#x27; already" in again.text.lower()

    for number in range(1, MOST_CHANNELS):
        client.post(ADD, typed(cast.project.pk, name=f"c{number}"))
    assert AlertChannel.objects.count() == MOST_CHANNELS
    client.post(ADD, typed(cast.project.pk, name="one more"))
    assert AlertChannel.objects.count() == MOST_CHANNELS


@walk("who", ["operator", "steward", "superuser", "author", "outsider"])
def test_one_that_fails_is_on_the_first_page_of_those_who_may_mend_it(as_, channel, who):
    first = reverse("admin:index")
    assert "Channels that fail" not in as_(who).get(first).text

    AlertChannel.objects.update(failing_since=AT, error="it answered HTTP 500")

    assert ("Channels that fail" in as_(who).get(first).text) == (who in MAY)


def test_a_second_test_waits_for_the_first(as_, channel):
    client = as_("operator")
    for _ in range(2):
        page = client.post(page_of(channel, "test"), follow=True)

    assert "a test waits already" in page.text.lower()
    assert AlertNotice.objects.count() == 1


def test_the_page_says_what_a_test_sends_where_and_what_came_back(as_, channel):
    client = as_("operator")
    page = client.post(page_of(channel, "test"), follow=True)
    message = "“Assay: a test”, “The channel chat works.”"
    assert f"Sent to {channel.where} within seconds: {message}" in page.text
    assert f"a test: {message}" in page.text
    assert "waits to be sent" in page.text

    note_attempt(AlertNotice.objects.get(), "it answered HTTP 500", at=AT)
    assert "given up: it answered HTTP 500" in client.get(page_of(channel)).text
    note_attempt(AlertNotice.objects.get(), "", at=AT)
    assert f"{channel.where} took it" in client.get(page_of(channel)).text
