"""Bring each ``0001_initial`` up to the models, with constraints and indexes inside its models.

Run it after a change of models, with no migration made by hand: ``python -m
scripts.fold_migrations [APP…]``. ``makemigrations`` would write a second migration, and one
operation for each constraint; Django draws up every model anew for each operation: seconds of
every new database, of which the database itself needs a tenth.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.apps import apps as installed
from django.db.migrations import Migration
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import SwappableTuple
from django.db.migrations.operations import CreateModel, RunPython
from django.db.migrations.operations.models import IndexOperation, ModelOperation
from django.db.migrations.optimizer import MigrationOptimizer
from django.db.migrations.questioner import MigrationQuestioner
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import NOT_PROVIDED

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from django.db.migrations.operations.base import Operation

APPS = ("registry", "materialization", "serving")
INITIAL = "0001_initial"


def fold(operations: Sequence[Operation], app: str) -> list[Operation]:
    """Return the operations with each model's own inside its ``CreateModel``.

    Models come after those they refer to. What cannot move (the field that closes a circle of
    references, Python) stays behind the models, in its order.
    """
    models = {o.name_lower: o for o in operations if isinstance(o, CreateModel)}
    later = [o for o in operations if not isinstance(o, CreateModel)]
    folded: list[Operation] = []
    while models:
        name = _next(models, later, app)
        model = models.pop(name)
        own = [o for o in later if _model_of(o) == name and not _refers(o, models, app)]
        folded += MigrationOptimizer().optimize([model, *own], app)
        later = [o for o in later if o not in own]
    return [*folded, *later]


def _next(models: dict[str, CreateModel], later: Sequence[Operation], app: str) -> str:
    """Return the first model that refers to no other of ``models``, best with its later fields."""
    ready = [n for n in models if not _refers(models[n], models.keys() - {n}, app)]
    own = {n: [o for o in later if _model_of(o) == n] for n in ready}
    whole = [n for n in ready if not any(_refers(o, models.keys() - {n}, app) for o in own[n])]
    return (whole or ready)[0]


def _model_of(operation: Operation) -> str | None:
    """Return the model that the operation is about; None for Python and SQL."""
    name = operation.name_lower if isinstance(operation, ModelOperation) else None
    return getattr(operation, "model_name_lower", name)


def _refers(operation: Operation, models: Collection[str], app: str) -> bool:
    # An index or constraint is of its own model's fields; Django says of it that it may be of any.
    own = isinstance(operation, IndexOperation)
    return not own and any(operation.references_model(name, app) for name in models)


def is_folded(migration: Migration) -> bool:
    """Say that folding would change nothing."""
    return len(fold(migration.operations, migration.app_label)) == len(migration.operations)


class _NewTables(MigrationQuestioner):
    """Nothing is asked: before the first release every table is made empty."""

    def ask_not_null_addition(self, field_name: str, model_name: str) -> Any:
        """Take no default: there is no row that would need one."""
        return NOT_PROVIDED

    def ask_not_null_alteration(self, field_name: str, model_name: str) -> Any:
        """Take no default: there is no row that would need one."""
        return NOT_PROVIDED


def main(apps: Sequence[str]) -> None:
    """Rewrite the initial migrations of ``apps``, or of all of ours, where that changes them."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "featurestore_project.settings")
    django.setup()
    loader = MigrationLoader(None)
    drawn, wanted = loader.project_state(), ProjectState.from_apps(installed)
    changes = MigrationAutodetector(drawn, wanted, _NewTables()).changes(graph=loader.graph)
    for app in apps or APPS:
        migration = loader.disk_migrations.get((app, INITIAL))
        if migration is None or (app not in changes and is_folded(migration)):
            continue
        writer = MigrationWriter(_folded(migration, changes.get(app, [])))
        Path(writer.path).write_text(writer.as_string())
        print(f"{writer.path}: {len(migration.operations)} operations before")


def _written(dependency: tuple[str, str]) -> tuple[str, str]:
    """Return a dependency as it is written: on what a change of another app is folded into."""
    if isinstance(dependency, SwappableTuple):
        # As `makemigrations` has it: which model is the user's is the settings' to say.
        return ("__setting__", "AUTH_USER_MODEL")
    return (dependency[0], INITIAL) if dependency[0] in APPS else dependency


def _folded(migration: Migration, changes: Sequence[Migration]) -> Migration:
    together = [*migration.dependencies, *(one for more in changes for one in more.dependencies)]
    dependencies = [
        one for one in dict.fromkeys(map(_written, together)) if one[0] != migration.app_label
    ]
    python = [o for o in migration.operations if isinstance(o, RunPython)]
    tables = [o for o in migration.operations if o not in python]
    tables += [o for more in changes for o in more.operations]
    operations = [*fold(tables, migration.app_label), *python]
    content = {"initial": True, "dependencies": dependencies, "operations": operations}
    made: type[Migration] = type("Migration", (Migration,), content)
    return made(migration.name, migration.app_label)


if __name__ == "__main__":
    main(sys.argv[1:])
