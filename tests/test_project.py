"""What holds for the whole: migrations, the API's shape, documented settings, honest markers.

Not for layers and types: ``make lint`` checks those.
"""

from __future__ import annotations

import ast
import json
import os
import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator

from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SNAPSHOT = ROOT / "tests" / "snapshots" / "openapi.json"
PACKAGES = ("assay", "featurestore_project", "materialization", "registry", "serving")
ENVIRONMENT_READ = re.compile(r'\benv(?:_bool|_int|_list|_secret)?\(\s*"([A-Z_]+)"')


def modules() -> list[Path]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return sorted(file for file in files if "migrations" not in file.parts)


@pytest.mark.django_db
def test_every_change_of_a_model_has_its_migration():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


def test_the_api_is_the_one_in_the_snapshot():
    """After a wanted change run ``make snapshots`` and look at the diff."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    text = json.dumps(schema, indent=1, sort_keys=True, default=str) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)

    assert text == SNAPSHOT.read_text()


def test_the_operations_guide_explains_every_setting():
    settings = (ROOT / "featurestore_project" / "settings.py").read_text()
    guide = (ROOT / "docs" / "operations.md").read_text()

    names = set(ENVIRONMENT_READ.findall(settings))
    assert len(names) > 20
    assert sorted(name for name in names if f"`{name}`" not in guide) == []


def test_every_module_says_what_it_is_for():
    silent = [
        str(file.relative_to(ROOT))
        for file in modules()
        if file.stat().st_size and not ast.get_docstring(ast.parse(file.read_text()))
    ]

    assert silent == []


def test_modules_marked_pure_are_held_to_it():
    """A docstring that says ``[pure]`` is a promise the import contracts keep, not a decoration."""
    marked = {
        ".".join(file.relative_to(ROOT).with_suffix("").parts)
        for file in modules()
        if "[pure]" in (ast.get_docstring(ast.parse(file.read_text())) or "")
    }
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    held = next(
        set(each["source_modules"]) for each in contracts if each["name"].startswith("Pure")
    )

    assert marked == held
