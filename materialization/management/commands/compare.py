"""Compare what the stores hold, from the shell; exit code 1 where they differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError

from lib.clock import database_now
from lib.errors import AssayError
from materialization.choices import CertificateKind, CertificateStatus
from materialization.models import Certificate
from materialization.requests.certificates import request_certificate
from materialization.runner.certifying import certify
from registry.queries import served_versions

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from registry.models import FeatureViewVersion
    from registry.spec.version_spec import VersionSpec

SAMPLE = 1000
COLUMNS: tuple[str, ...] = (
    "version",
    "scope",
    "compared",
    "equal",
    "missing",
    "extra",
    "different",
    "repaired",
    "late",
    "gone",
)


class Command(BaseCommand):
    help = (
        "Compare the online store with the offline store, or that with the sources, a table a"
        " line. Exit code 1: they differ; 2: something could not be compared."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", nargs="?", help="only its views")
        parser.add_argument("feature_view", nargs="?", help="only this view, or VIEW@VERSION")
        scope = parser.add_mutually_exclusive_group()
        scope.add_argument("--full", action="store_true", help="every row")
        scope.add_argument(
            "--sample", type=int, default=SAMPLE, help=f"entities of each store (default {SAMPLE})"
        )
        parser.add_argument(
            "--repair", action="store_true", help="put right what differs; looks at every row"
        )
        parser.add_argument(
            "--source", action="store_true", help="the stored rows with the source, all of them"
        )
        parser.add_argument("--examples", action="store_true", help="show keys of what differs")

    def handle(self, *args: Any, **options: Any) -> None:
        kind = CertificateKind.SOURCE if options["source"] else CertificateKind.ONLINE
        versions = _versions(options["project"], options["feature_view"], kind)
        if not versions:
            raise CommandError("nothing that is served online has these names.", returncode=2)
        sample = None if options["full"] else options["sample"]
        done = [self._compare(each, kind, sample, repair=options["repair"]) for each in versions]
        rows = [COLUMNS, *map(_cells, done)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = zip(row, widths, strict=True)
            self.stdout.write("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
        for each in done:
            self._say_more(each, examples=options["examples"])
        _exit(done)

    def _compare(
        self,
        version: FeatureViewVersion,
        kind: CertificateKind,
        sample: int | None,
        *,
        repair: bool,
    ) -> Certificate:
        try:
            asked = request_certificate(
                version=version, kind=kind, sample=sample, repair=repair, at=database_now(),
                actor=None, enqueued=False, from_shell=True,
            )  # fmt: skip
        except AssayError as exc:
            raise CommandError(f"{version}: {exc.message}", returncode=2) from exc
        certify(certificate_id=asked.pk, worker="manage.py compare", clock=database_now)
        asked.refresh_from_db()
        return asked

    def _say_more(self, done: Certificate, *, examples: bool) -> None:
        if done.error:
            self.stdout.write(f"{done.version}: {done.error}")
        for example in done.examples if examples else ():
            features = f" in {', '.join(example['features'])}" if "features" in example else ""
            self.stdout.write(f"{done.version}: {example['kind']} {example['key']}{features}")


def _versions(
    project: str | None, name: str | None, kind: CertificateKind
) -> list[FeatureViewVersion]:
    """Return one served version of each table that is loaded, or stored where that will do."""
    versions = served_versions().filter(table__ready_at__isnull=False)
    view, _, number = (name or "").partition("@")
    if project:
        versions = versions.filter(feature_view__project__name=project)
    if view:
        versions = versions.filter(feature_view__name=view)
    found: dict[int | None, FeatureViewVersion] = {}
    for version in versions.order_by("feature_view__project__name", "feature_view__name", "pk"):
        if (view or _has_both(version.spec, kind)) and number in ("", version.number):
            found.setdefault(version.table_id, version)
    return list(found.values())


def _has_both(spec: VersionSpec, kind: CertificateKind) -> bool:
    """Tell whether there are two things to compare; of a view that is named it is said why not."""
    if kind is CertificateKind.SOURCE:
        return not spec.is_pushed
    return spec.view.online and (spec.has_windows_online or not spec.is_pushed)


def _cells(done: Certificate) -> tuple[str, ...]:
    if done.status not in (CertificateStatus.EQUAL, CertificateStatus.DIFFERENT):
        return (str(done.version), done.status, *([""] * (len(COLUMNS) - 2)))
    scope = "full" if done.sample is None else f"sample {done.sample}"
    counts = [f"{getattr(done, name):,}" for name in COLUMNS[2:]]
    return (str(done.version), scope, *counts)


def _exit(done: list[Certificate]) -> None:
    if any(each.status == CertificateStatus.DIFFERENT for each in done):
        raise SystemExit(1)
    if any(each.status != CertificateStatus.EQUAL for each in done):
        raise SystemExit(2)
