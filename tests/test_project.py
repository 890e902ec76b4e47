"""What holds for the whole: migrations, the API's shape, documented settings, honest markers.

Not for layers and types: ``make lint`` checks those.
"""

from __future__ import annotations

import ast
import json
import os
import re
from typing import TYPE_CHECKING

import grimp
import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator

from tests.servers import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SNAPSHOT = ROOT / "tests" / "snapshots" / "openapi.json"
PACKAGES = ("assay", "featurestore_project", "lib", "materialization", "registry", "serving")
#: Libraries that read, write or serve; reaching one of them is acting.
ACTING = {"celery", "deltalake", "django", "duckdb", "guardian", "redis", "rest_framework"}
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
        name(file)
        for file in modules()
        if file.stat().st_size and file.name != "apps.py" and not docstring(file)
    ]

    assert silent == []


def test_pure_modules_lean_on_pure_modules_only():
    """``[pure]`` in a docstring promises no framework, store or process, however far away."""
    graph = grimp.build_graph(
        *PACKAGES,
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )
    pure = {name(file) for file in modules() if "[pure]" in docstring(file)}

    leaning = {module: impurities(graph.find_upstream_modules(module), pure) for module in pure}
    assert len(pure) > 20
    assert {module: found for module, found in leaning.items() if found} == {}


def impurities(upstream: set[str], pure: set[str]) -> set[str]:
    """Return what a pure module must not reach: acting libraries, and our modules that may act."""
    ours = {module for module in upstream if module.split(".")[0] in PACKAGES}
    return (ours - pure) | (upstream & ACTING)


def name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text())) or ""
