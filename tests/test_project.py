"""What holds for the whole: migrations, the API's shape, documented settings, honest words.

Not for layers and types: ``make lint`` checks those.
"""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
from typing import TYPE_CHECKING

import grimp
import pytest
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader
from drf_spectacular.generators import SchemaGenerator

import assay
import materialization.api.urls
import materialization.words
import registry.api.urls
import serving.urls
import serving.words
from materialization.choices import RunStatus
from registry.choices import Right
from scripts.fold_migrations import APPS, INITIAL, is_folded
from tests.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Any

SNAPSHOT = ROOT / "tests" / "snapshots" / "openapi.json"
PACKAGES = ("assay", "featurestore_project", "lib", "materialization", "registry", "serving")
#: Libraries that read, write or serve; reaching one of them is acting.
ACTING = {"celery", "deltalake", "django", "duckdb", "guardian", "redis", "rest_framework"}
ENVIRONMENT_READ = re.compile(r'\benv(?:_bool|_int|_list|_secret)?\(\s*"([A-Z_]+)"')

#: A path in a text: inside backticks, with a slash and without a blank.
NAMED_PATH = re.compile(r"`([^`\s]*/[^`\s]*)`")

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def upper_words() -> re.Pattern[str]:
    """Return what finds the names, verbs, statuses and paths of the apps above the registry."""
    verbs = {*materialization.words.VERBS, *serving.words.VERBS}
    spaces = {verb.partition(".")[0] for verb in verbs}
    routes = (*materialization.api.urls.urlpatterns, *serving.urls.urlpatterns)
    parts = parts_of(routes) - parts_of(registry.api.urls.urlpatterns)  # those of its own objects
    patterns = [
        r"\b(?:materialization|serving)(?:\b|_\w+_)",
        *map(re.escape, verbs),
        rf"""['"](?:{"|".join(spaces)})\.""",
        rf"""['"](?:{"|".join(RunStatus)})['"]""",
        rf"""/(?:{"|".join(parts)})\b""",
    ]
    return re.compile("|".join(patterns))


def parts_of(routes: Sequence[Any]) -> set[str]:
    """Return the words of addresses."""
    parts = (part for route in routes for part in str(route.pattern).strip("^$").split("/"))
    return {part for part in parts if "<" not in part}


UPPER_WORDS = upper_words()


def modules() -> list[Path]:
    files = (file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return sorted(file for file in files if "migrations" not in file.parts)


@pytest.mark.django_db
def test_every_change_of_a_model_has_its_migration():
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.parametrize("app", APPS)
def test_an_initial_migration_draws_each_model_up_once(app):
    """Each operation costs every new database a tenth of a second: ``scripts.fold_migrations``."""
    assert is_folded(MigrationLoader(None).disk_migrations[app, INITIAL])


def test_the_api_is_the_one_in_the_snapshot():
    """After a wanted change run ``make snapshots`` and look at the diff."""
    schema = SchemaGenerator().get_schema(request=None, public=True)
    text = json.dumps(schema, indent=1, sort_keys=True, default=str) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)

    assert text == SNAPSHOT.read_text()


def test_the_operations_guide_explains_every_setting():
    settings = (ROOT / "featurestore_project" / "settings.py").read_text()
    guide = (ROOT / "docs" / "settings.md").read_text()

    names = set(ENVIRONMENT_READ.findall(settings))
    assert len(names) > 20
    assert sorted(name for name in names if f"`{name}`" not in guide) == []


def test_every_path_that_a_recipe_names_is_there():
    named = set(NAMED_PATH.findall((ROOT / "docs" / "recipes.md").read_text()))

    assert len(named) > 40
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_every_module_says_what_it_is_for():
    silent = [
        name(file)
        for file in modules()
        if file.stat().st_size and file.name != "apps.py" and not docstring(file)
    ]

    assert silent == []


def test_a_right_is_written_as_text_in_one_place():
    """A slip in a name would be a right that nobody holds; elsewhere it is ``Right.…``."""
    spelled = {
        (name(file), node.value)
        for file in modules()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in set(Right)
    }

    assert {module for module, _ in spelled} == {"registry.choices"}
    assert {right for _, right in spelled} == set(Right)


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


def test_the_registry_knows_no_word_of_the_apps_above_it():
    """Those apps register their words. What runs and what is shown has none of them.

    Docstrings and comments may name the apps, to say what a module is not for. Rights are words of
    the registry, also those that an app above asks for.
    """
    files = [file for file in modules() if file.is_relative_to(ROOT / "registry")]
    shown = [file for ending in ("html", "css", "js") for file in registry_files(ending)]
    texts = {file: code(file) for file in files} | {file: file.read_text() for file in shown}

    found = {file.name: words for file in texts if (words := UPPER_WORDS.findall(texts[file]))}
    assert len(texts) > 100
    assert found == {}


@pytest.mark.parametrize(
    "text",
    [
        '("POST .*/get-online-features", "reading online features")',
        'exclude(verb__startswith="materialization_run.")',
        "audit.record(verb='schedule.changed')",
        '{% if run.status == "errored" %}',
        'reverse("admin:materialization_materializationrun_changelist")',
        'import_string("serving.online.read")',
        'f"/api/v1/projects/{name}/runs/{pk}"',
    ],
)
def test_words_of_the_apps_above_are_noticed(text):
    assert UPPER_WORDS.search(text)


def registry_files(ending: str) -> list[Path]:
    return sorted((ROOT / "registry").rglob(f"*.{ending}"))


def code(file: Path) -> str:
    """Return what runs: the module without its docstrings and comments."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def impurities(upstream: set[str], pure: set[str]) -> set[str]:
    """Return what a pure module must not reach: acting libraries, and our modules that may act."""
    ours = {module for module in upstream if module.split(".")[0] in PACKAGES}
    return (ours - pure) | (upstream & ACTING)


def name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text())) or ""


#: What does not wait, or is no call but pieces that do.
WITHOUT_WAITING = {"passing_on", "with_options", "to_dict", "chunks"}


def public(kind: type) -> dict[str, object]:
    found = inspect.getmembers(kind, inspect.isroutine)
    return {name: call for name, call in found if not name.startswith("_")}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (assay.FeatureStore, assay.AsyncFeatureStore),
        (assay.Dataset, assay.AsyncDataset),
        (assay.HistoricalJob, assay.AsyncHistoricalJob),
    ],
)
def test_both_have_the_same_calls_with_the_same_parameters(one, other):
    calls, awaited = public(one), public(other)
    missing = sorted(set(calls) - set(awaited))
    assert not missing, f"add `{missing[0]} = awaited(….{missing[0]})` to assay/aio/client.py"

    assert set(calls) == set(awaited)
    for name, call in calls.items():
        mine, theirs = (
            list(inspect.signature(each).parameters.values())[1:] for each in (awaited[name], call)
        )
        assert mine == theirs, name
        assert inspect.iscoroutinefunction(awaited[name]) or name in WITHOUT_WAITING
        assert awaited[name].__doc__ or not call.__doc__, name
