"""Certificates: at rest the stores are equal; what is damaged then is found, and put right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

from lib.connections import get_redis
from lib.instants import MICROSECOND, to_us
from materialization.choices import DIFFERS, AlertKind, CertificateKind, CertificateStatus
from materialization.edges.stores import online_store
from materialization.models import Alert, Certificate
from materialization.quality.consistency.findings import DIFFERENT, EXTRA, MISSING, read_examples
from materialization.requests.certificates import request_certificate
from materialization.runner.certifying import certify
from materialization.stores.layout import value_prefix
from tests.materialization.run_world import committed, fresh, marker, table_of
from tests.materialization.soak.sources import places
from tests.materialization.soak.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from registry.models import FeatureViewVersion
    from tests.materialization.soak.world import Served

#: How many entities are looked at; None: all. There are never as many as the last says.
samples = st.sampled_from([None, 1, 100])
#: Which of the rows in Redis are damaged, and how.
damages = st.lists(
    st.tuples(
        places, st.sampled_from(["lost", "changed", "older", "newer", "cut", "a stranger's"])
    ),
    max_size=3,
)


class Certificates(RuleBasedStateMachine):
    world: World

    def certify_online(self, served: Served, sample: int | None) -> None:
        """Hold that Redis has what is stored, as nobody has damaged it."""
        found = self._certificate(served.version, sample=sample)
        assert found.status == CertificateStatus.EQUAL, _said(found)

    def certify_source(self, served: Served, end: datetime) -> None:
        """Hold that a comparison with the source says how stored rows and source stand."""
        found = self._certificate(served.version, kind=CertificateKind.SOURCE)
        is_equal = found.status == CertificateStatus.EQUAL and not found.late
        is_right = served.table.is_as_source(self.world.rows, end)
        assert is_equal == is_right, _said(found)

    def damage_and_repair(self, served: Served, drawn: Sequence[tuple[int, str]]) -> None:
        """Damage rows in Redis; a certificate finds just that, and a repair puts it right."""
        version, before = served.version, self.world.read(served, self.world.now)
        expected = self._damage(version, drawn)
        for sample in (100, 1, None):
            found = self._certificate(version, sample=sample)
            wrong = [(each.kind, each.key) for each in read_examples(found.examples)]
            if sample == 1:
                assert set(wrong) <= set(expected), _said(found)
            else:
                assert sorted(wrong) == sorted(expected), (expected, _said(found))
        # The source has an alert of its own, which no repair of Redis closes.
        told = Alert.objects.open().filter(
            kind=AlertKind.INCONSISTENT,
            version__table=found.table,
            code=DIFFERS[CertificateKind.ONLINE],
        )
        assert told.exists() == bool(expected)
        repair = self._certificate(version, repair=True)
        assert repair.repaired == len(expected), _said(repair)
        last = Certificate.objects.filter(table=repair.table, kind=CertificateKind.ONLINE).first()
        assert last is not None and last.status == CertificateStatus.EQUAL, _said(last)
        assert not told.exists()
        assert self.world.read(served, self.world.now) == before

    def _damage(
        self, version: FeatureViewVersion, drawn: Sequence[tuple[int, str]]
    ) -> list[tuple[str, str]]:
        """Damage rows; return what a comparison is to find."""
        uid, client = table_of(version).uid, get_redis()
        keys = sorted(key for part in online_store().keys_of(uid) for key in part)
        expected = {}
        for place, how in drawn:
            if not keys:
                break
            key = keys.pop(place % len(keys))
            (row,) = online_store().rows_at([key])
            assert row is not None
            driver = key.removeprefix(value_prefix(uid)).decode()
            if how == "lost":
                client.delete(key)
                expected[driver] = MISSING if self._is_kept(version, row) else ""
            elif how == "a stranger's":
                driver = f"{{{1000 + len(keys)}}}"
                client.set(value_prefix(uid) + driver.encode(), row)
                expected[driver] = EXTRA
            else:
                client.set(key, _damaged(row, how))
                expected[driver] = DIFFERENT
        found = [(kind, driver) for driver, kind in expected.items() if kind]
        return [(kind, f"driver_id={driver.strip('{}')}") for kind, driver in found]

    def _is_kept(self, version: FeatureViewVersion, row: bytes) -> bool:
        """Say whether readers may still get a row: of one past its TTL nobody misses anything."""
        ttl, event = marker(version).ttl, msgspec.msgpack.decode(row)[0]
        return ttl is None or event + ttl // MICROSECOND >= to_us(self.world.now)

    def _certificate(self, version: FeatureViewVersion, **asked: Any) -> Certificate:
        asked = {"sample": None, "actor": self.world.cast.operator} | asked
        with committed():
            made = request_certificate(version=fresh(version), at=self.world.now, **asked)
        with committed():
            certify(certificate_id=made.pk, worker="worker", clock=lambda: self.world.now)
        made.refresh_from_db()
        return made


def _damaged(row: bytes, how: str) -> bytes:
    if how == "cut":
        return row[:12]
    event, lag, sequence, *features = msgspec.msgpack.decode(row)
    if how == "changed":
        features[-1] = 1 if features[-1] is None else None
    elif how == "older":
        event -= 1
    elif how == "newer":
        sequence += 1
    rest = b"".join(msgspec.msgpack.encode(each) for each in (lag, sequence, *features))
    return row[:1] + b"\xd3" + event.to_bytes(8, "big", signed=True) + rest


def _said(found: Certificate | None) -> Any:
    if found is None:
        return None
    counts = ("compared", "missing", "extra", "different", "expired", "repaired", "late", "gone")
    said = {name: getattr(found, name) for name in counts}
    return str(found), found.status, found.error, said, found.examples
