"""What the environment makes of the settings: each in a process of its own, as a server starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.environment import SECRET_KEY, without_ours
from tests.servers import ROOT

QUESTION = "from featurestore_project import settings as s; print(({}))"


def settings_with(answer: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Return the outcome of reading the settings with nothing but ``variables`` set."""
    return subprocess.run(
        [sys.executable, "-c", QUESTION.format(answer)],
        env=without_ours() | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_with_nothing_set_the_embedded_parts_run(tmp_path):
    asked = settings_with("s.EMBEDDED, s.DEBUG, len(s.SECRET_KEY) > 50", STATE_DIR=str(tmp_path))

    assert asked.stdout.strip() == "(True, False, True)"


@pytest.mark.parametrize(
    "variable",
    [{"REDIS_URL": "redis://cache:6379/0"}, {"DATABASE_URL": "postgresql://a:b@db/c"}],
)
def test_production_does_not_start_without_a_secret(tmp_path, variable):
    asked = settings_with("s.SECRET_KEY", STATE_DIR=str(tmp_path), **variable)

    assert asked.returncode != 0
    assert "ImproperlyConfigured: SECRET_KEY is not set" in asked.stderr


WEAK = {
    "short": ("s3cr3t!", "7 characters"),
    "one short": (SECRET_KEY[:49], "49 characters"),
    "one letter": ("x" * 64, "repeats itself"),
    "a word again and again": ("assay-production-" * 4, "repeats itself"),
    "an alphabet twice": ("abcdefghijklmnopqrstuvwxyz0123456789" * 2, "repeats itself"),
    "made by Django for development": ("django-insecure-" + SECRET_KEY, "'insecure'"),
    "of an example": ("Change-Me" + SECRET_KEY, "'changeme'"),
}


@pytest.mark.parametrize(("key", "why"), WEAK.values(), ids=WEAK)
def test_production_does_not_start_on_a_secret_that_can_be_guessed(tmp_path, key, why):
    production = {"STATE_DIR": str(tmp_path), "DATABASE_URL": "postgresql://a:b@db/c"}
    asked = settings_with("s.SECRET_KEY", SECRET_KEY=key, **production)

    assert asked.returncode != 0
    assert "ImproperlyConfigured: SECRET_KEY is too weak" in asked.stderr
    assert why in asked.stderr
    assert "secrets.token_urlsafe(64)" in asked.stderr
    assert key not in asked.stderr


@pytest.mark.parametrize(("debug", "starts"), [("false", False), ("true", True)])
def test_a_key_that_can_be_guessed_is_for_a_developers_own_machine(tmp_path, debug, starts):
    asked = settings_with(
        "s.EMBEDDED", STATE_DIR=str(tmp_path), EMBEDDED="true", SECRET_KEY="x", DEBUG=debug
    )

    assert (asked.returncode == 0) is starts, asked.stderr


def test_production_sends_cookies_over_https_only(tmp_path):
    asked = settings_with(
        "s.EMBEDDED, s.SESSION_COOKIE_SECURE, s.CSRF_COOKIE_SECURE",
        STATE_DIR=str(tmp_path),
        DATABASE_URL="postgresql://a:b@db/c",
        SECRET_KEY=SECRET_KEY,
    )

    assert asked.stdout.strip() == "(False, True, True)"


def test_a_task_is_not_delivered_again_while_it_runs(tmp_path):
    asked = settings_with(
        "s.CELERY_BROKER_TRANSPORT_OPTIONS['visibility_timeout'] > s.CELERY_TASK_TIME_LIMIT"
        " > s.ENGINE_TIME_LIMIT_SECONDS",
        STATE_DIR=str(tmp_path),
    )

    assert asked.stdout.strip() == "True"
