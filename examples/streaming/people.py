"""The people of the example and the project they share, made with the registry's own operations.

Runs beside the server on its database; what people do themselves, who log in, goes over HTTP: what
is made at a shell decides nothing.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import django
from django.conf import settings

from examples.first_login import first_login

if TYPE_CHECKING:
    from datetime import datetime

    from django.contrib.auth.models import User

    from registry.models import Project

PROJECT = "streaming"
#: login → (role, first name); the service account beside them cannot log in.
ROLES = {"ana": "author", "stella": "steward", "olaf": "owner"}
SERVICE_ACCOUNT = "recommender"


class People(NamedTuple):
    """Who can do what in the demo: passwords by login, and a fresh API token for each."""

    passwords: dict[str, str]
    tokens: dict[str, str]


def settle(url: str, *, root: Path, at: datetime) -> People:
    """Make the project with its people, or find them; give their passwords and tokens of a day.

    Each logs in to the server at ``url``, sets a password of their own and makes a token.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")
    django.setup()
    from registry.choices import Role
    from registry.models import Project
    from registry.operations.people.members import grant_role
    from registry.operations.people.projects import create_project
    from registry.operations.people.tokens import issue_token
    from registry.operations.registration.roots import assign_root

    passwords = _passwords()
    given = {name: secrets.token_urlsafe(12) for name in ROLES}
    users = {name: _user(name, given, passwords, is_admin=name == "olaf") for name in ROLES}
    owner = users["olaf"]
    project = Project.objects.filter(name=PROJECT).first()
    if project is None:
        project = create_project(name=PROJECT, title="Streaming service", actor=owner, at=at)
        assign_root(project=project, path=str(root), actor=owner, at=at)
    for name, role in ROLES.items():
        grant_role(project=project, user=users[name], role=Role(role), actor=owner, at=at)
    grant_role(project=project, user=users["ana"], role=Role.CONSUMER, actor=owner, at=at)
    tokens = {
        name: first_login(url, name, given=given[name], own=passwords[name]) for name in ROLES
    }
    robot = _robot(project, owner, at)
    _, tokens[SERVICE_ACCOUNT] = issue_token(
        user=robot, name="demo", actor=owner, at=at, days=1, project=project
    )
    return People(passwords, tokens)


def _robot(project: Project, owner: User, at: datetime) -> User:
    """Return the service account of the program that reads features, made once."""
    from django.contrib.auth.models import User

    from registry.choices import Role
    from registry.operations.people.service_accounts import make_service_account

    name = f"{SERVICE_ACCOUNT}@{project.name}"
    known = User.objects.filter(username=name).first()
    return known or make_service_account(
        project=project, name=SERVICE_ACCOUNT, role=Role.CONSUMER, actor=owner, at=at,
        description="Reads what recommends the next title",
    ).user  # fmt: skip


def _user(name: str, given: dict[str, str], own: dict[str, str], *, is_admin: bool) -> User:
    """Return the account; whose password is not theirs yet, or is forgotten, gets the given one.

    Who has their own logs in by that: then it stands in ``given`` too.
    """
    from django.contrib.auth.models import User

    from registry.accounts.passwords import has_own_password

    user, created = User.objects.get_or_create(
        username=name,
        defaults={"is_staff": True, "is_superuser": is_admin, "first_name": name.title()},
    )
    if not created and user.check_password(own[name]) and has_own_password(user):
        given[name] = own[name]
    else:
        user.set_password(given[name])
        user.save(update_fields=["password"])
    return user


def _passwords() -> dict[str, str]:
    """Return the demo's passwords, made once and kept readable by their owner only."""
    file = Path(settings.STATE_DIR) / "demo-passwords.json"
    known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    passwords = {name: known.get(name) or secrets.token_urlsafe(9) for name in ROLES}
    if passwords != known:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(json.dumps(passwords))
    return passwords
