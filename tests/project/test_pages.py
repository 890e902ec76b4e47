"""Who gets through which door of the pages: every address that is not the API's, by each person.

One line an address and method, one letter a person, in the order of ``PEOPLE``:
``.`` let in, ``w`` let in and something was changed, ``l`` sent to the log-in, ``f`` refused (by
403, or by words and an entry in the trail), ``n`` told that there is nothing, ``x`` no such method,
``!`` an error of ours. A new page fails here until somebody has written its line; the failure says
what was seen: look at it before you copy it.
"""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.admin import site
from django.contrib.sessions.models import Session
from django.db import transaction
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone

from materialization.models import MaterializationSchedule
from materialization.requests.channels import add_channel
from registry.choices import NewsKind, Role, State
from registry.models import AuditEntry, Feature, Notification
from registry.operations.lifecycle.commenting import add_comment
from registry.operations.people import members, users
from registry.operations.questions import answer_question, ask_question
from tests import databases, factories
from tests.factories import AT, VIEW
from tests.project.pages import TABLE
from tests.project.test_permissions import world as world  # something of every kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.contrib.auth.models import User
    from django.http import HttpResponse

PEOPLE = (
    "nobody", "outsider", "reader", "consumer", "planner", "author", "steward", "operator",
    "auditor", "owner", "superuser", "expired", "revoked",
)  # fmt: skip
LETTERS = {403: "f", 404: "n", 405: "x"}
#: Slashes in the address of a model's list; those of its objects have more.
MODEL_DEPTH = 4
#: Entries that change nothing: who was refused, or looked.
LOOKS = ("access.denied", "access.hidden", "access.stranger")


def patterns(of: Any = None, before: str = "") -> Iterator[str]:
    """Yield every address that is not of the API, as it is written in the URLs."""
    for each in of or get_resolver().url_patterns:
        address = before + str(each.pattern).removeprefix("^")
        if hasattr(each, "url_patterns"):
            yield from patterns(each.url_patterns, address)
        elif not address.startswith("api/v1/"):
            yield address


def section(address: str) -> str:
    """Return what pages are tried together: a model's of the admin."""
    parts = address.split("/")
    return "/".join(parts[1:3]) if parts[0] == "admin" and len(parts) > 3 else "others"


SECTIONS = sorted({section(address) for address in patterns()})


@pytest.fixture
def full(world, settings):
    """More of what only pages show; its keys, by what an address calls them."""
    settings.REFUSALS_RECORDED, settings.ALERT_HOSTS = 10**6, ["hooks.example"]
    cast, named = world
    waiting = factories.make_version(
        cast, state=State.IN_REVIEW, text=VIEW.replace("driver_hourly", "second")
    )
    add_channel(
        project=cast.project, actor=cast.operator, at=AT, name="chat",
        url="jsons://hooks.example/s3cr3t", severity="critical",
    )  # fmt: skip
    Notification.objects.create(
        recipient=cast.consumer, project=cast.project, kind=NewsKind.REVIEW, event="x", words="x",
        label="x", subject_type="registry.featureviewversion", subject_id=str(waiting.pk), at=AT,
    )  # fmt: skip
    question = ask_question(
        feature_view=factories.view_of(cast), feature="conv_rate", text="Why?", actor=cast.consumer,
        at=AT,
    )  # fmt: skip
    answer = answer_question(question=question, text="So.", actor=cast.author, at=AT)
    newcomer = factories.make_user("newcomer")
    thread = add_comment(version=waiting, body="Why?", actor=cast.steward, at=AT)
    proposal = members.grant_role(
        project=cast.project, user=newcomer, role=Role.STEWARD, actor=cast.owner, at=timezone.now()
    )
    factories.token_for(newcomer)
    MaterializationSchedule.objects.get_or_create(
        version_id=named["version_id"], defaults={"every": "1h", "updated_at": AT}
    )
    keys = {
        "user": newcomer.pk,
        "project": cast.project.pk,
        "proposal": proposal.pk,
        "featureviewversion": waiting.pk,
        "apitoken": named["token_id"],
        "auditentry": AuditEntry.objects.filter(project_name="rides").latest("pk").pk,
        "readgrant": named["grant_id"],
        "feature": Feature.objects.filter(version__feature_view__name="driver_hourly").first().pk,
    }
    shown = {"thread": thread.pk, "chosen": f"{waiting.pk}:{factories.seen(waiting)}"}
    return cast, named | {"keys": keys, "answer": answer.pk, "question": question.pk, **shown}


def path_of(address: str, named: dict[str, Any]) -> str:
    """Return an address that leads to something: what it names is there."""
    model = address.split("/")[2] if address.count("/") > 2 else ""
    here = named | {
        "object_id": key_of(model, named["keys"]),
        "id": named["keys"]["user"],
        "pk": key_of(model, named["keys"]),
        "kind": "feature",
        "name": "driver_hourly:conv_rate",
        "content_type_id": 1,
        "view_id": named["view_id"],
        "app_label": "registry",
        "url": "nothing/here/",
    }
    if address.startswith("admin/r/"):
        here["object_id"] = 1
    if address.startswith("admin/registry/feature/of/"):
        here["project"] = "rides"
    path = re.sub(r"\(\?P<(\w+)>(?:[^()]|\([^()]*\))*\)", lambda m: str(here[m[1]]), address)
    return "/" + re.sub(r"<(?:\w+:)?(\w+)>", lambda m: str(here[m[1]]), path).removesuffix("$")


def key_of(model: str, keys: dict[str, int]) -> int:
    if model in keys:
        return keys[model]
    found = next((each for each in site._registry if each._meta.model_name == model), None)
    row = found._default_manager.order_by("-pk").first() if found else None
    assert row is not None or found is None, f"there is no {model}: make one in full()"
    return row.pk if row else 1


def body_of(address: str, named: dict[str, Any]) -> dict[str, Any]:
    """Return what a page takes, so far that whoever sends it is asked for their right."""
    keys = named["keys"]
    what = [part for part in address.rstrip("/").split("/") if "<" not in part][-1]
    sent = {
        "act": {"action": "reject", "comment": "no", "packet_hash": named["chosen"].split(":")[1]},
        "approve-chosen": {"version": named["chosen"]},
        "resolve": {"thread": named["thread"]},
        "budget": {"memory_mb": 500, "reason": "x"},
        "ask": {"reviewer": "steward", "text": "Why so?"},
        "comment": {"body": "Looks fine"},
        "answer": {"question": named["question"], "text": "So it is."},
        "accept": {"question": named["question"], "answer": named["answer"], "comment": "x"},
        "close": {"question": named["question"]},
        "reopen": {"question": named["question"]},
        "delete": {"post": "yes"},
        "grant": {"username": "newcomer", "role": "consumer"},
        "revoke": {"membership": named["membership"], "comment": "x"},
        "agree": {"membership": named["membership"]},
        "assign_root": {"name": "data", "path": "/nowhere"},
        "move_root": {"name": "default", "path": "/nowhere"},
        "release_root": {"name": "default"},
        "refuse": {"comment": "x"},
        "rotate": {"overlap_hours": 24},
        "release": {"reason": "x"},
        "discard": {"reason": "x"},
        "dismiss": {"reason": "x"},
        "end": {"reason": "x"},
        "take_as_baseline": {"reason": "x"},
        "edit": {"title": "Rides!", "approvals_required": 2, "approvals_required_sensitive": 2,
                 "review_hours": 24, "severity": "warning", "enabled": "on", "every": "2h",
                 "description": "x"},
    }.get(what, {})  # fmt: skip
    if address == f"{section_path(address)}/":  # a list: its actions
        return {"action": "delete_selected", "_selected_action": 1, "post": "yes"}
    if what == "add":
        return {
            "project": keys["project"], "name": "x", "username": "consumer", "level": "restricted",
            "purpose": "x", "days": 9, "title": "x", "user": named["owner"], "severity": "warning",
            "url": "jsons://hooks.example/s", "kind": "person", "usable_password": "false",
            "role": "consumer", "token_name": "x",
        }  # fmt: skip
    return sent


def section_path(address: str) -> str:
    return "/".join(address.split("/")[:3])


class Asking:
    """The people, each with a browser that they logged in with."""

    def __init__(self, cast: factories.Cast) -> None:
        known: dict[str, User] = {
            name: factories.make_user(name, is_staff=name != "reader")
            for name in ("reader", "planner", "expired", "revoked")
        }
        for name in known:
            role = Role.PLANNER if name == "planner" else Role.CONSUMER
            factories.give_role(cast.project, known[name], role, cast.owner)
        self.browsers = {"nobody": Client(raise_request_exception=False)}
        for name in PEOPLE[1:]:
            self.browsers[name] = Client(raise_request_exception=False)
            self.browsers[name].force_login(known.get(name) or getattr(cast, name))
        session = self.browsers["expired"].session.session_key
        Session.objects.filter(pk=session).update(expire_date=AT)
        users.set_active(user=known["revoked"], active=False, actor=cast.superuser, at=AT)

    def letter(self, name: str, method: str, path: str, body: dict[str, Any]) -> str:
        """Ask, look what became of it, and leave no trace."""
        last = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True)[0]
        browser = self.browsers[name]
        kept = dict(browser.cookies)  # a log-out takes them away
        with transaction.atomic():
            answer = getattr(browser, method.lower())(path, body if method == "POST" else None)
            verbs = set(AuditEntry.objects.filter(pk__gt=last).values_list("verb", flat=True))
            transaction.set_rollback(True)
        browser.cookies = SimpleCookie()
        browser.cookies.update(kept)
        return letter_of(answer, path, verbs)


def letter_of(answer: HttpResponse, path: str, verbs: set[str]) -> str:
    if answer.status_code >= 500:
        return "!"
    to = answer.headers.get("Location", "").partition("?")[0]
    if to == "/admin/login/" and answer.status_code == 302:
        return "l"
    if "access.denied" in verbs:
        return "f"
    if to == "/admin/" and path.count("/") > MODEL_DEPTH:
        return "n"  # as of an object that is not there
    return LETTERS.get(answer.status_code) or ("w" if verbs - {*LOOKS} else ".")


@pytest.mark.parametrize("of", SECTIONS)
def test_every_page_lets_in_whom_it_should_and_nobody_else(full, of):
    cast, named = full
    named |= {
        "owner": cast.owner.pk,
        "view_id": factories.view_of(cast).pk,
        "membership": cast.project.memberships.get(user=cast.consumer).pk,
    }
    asking, wrong, there = Asking(cast), [], []
    for address in filter(lambda each: section(each) == of, patterns()):
        path, body = path_of(address, named), body_of(address, named)
        for method in ("GET", "POST"):
            there.append(f"{method} {address}")
            wanted = databases.asking(PEOPLE, TABLE.get(there[-1], "?" * len(PEOPLE)))
            seen = {name: asking.letter(name, method, path, body) for name in wanted}
            if seen != wanted or "!" in seen.values():
                said = "".join(seen.values()), "".join(wanted.values())
                wrong.append(f'    "{there[-1]}": "{said[0]}",  # the table says: {said[1]}')
    assert wrong == [], "\n" + "\n".join(wrong)
    gone = {line for line in TABLE if section(line.partition(" ")[2]) == of} - {*there}
    assert gone == set()


#: Pages that everybody may have, logged in or not.
OPEN = (
    "", "admin", "admin/login/", "admin/logout/", "catalogue",
    "catalogue/<slug:project>/<slug:kind>/<path:name>", "api/schema", "api/docs", "healthz",
    "readyz", "metrics",
)  # fmt: skip


def test_nobody_gets_in_without_a_login_that_works():
    """What the table may not say, whoever writes a line."""
    for line, letters in TABLE.items():
        assert len(letters) == len(PEOPLE), line
        assert letters[0] == letters[-1] == letters[-2], line
        assert letters[0] in "lnx" or line.partition(" ")[2] in OPEN, line
