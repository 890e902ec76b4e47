"""Calls that have the server compare its stores, and see what comparisons found.
Not for comparing in the client: it sees neither store.
"""

from __future__ import annotations

from assay.calls import Calls
from assay.errors import StoresDiffer, WaitTimedOut
from assay.progress import looking
from assay.references import split_reference
from assay.shapes import JSON, Listed
from assay.waiting import OnProgress, Waiting

ENDED = ("equal", "different", "failed")


class CertificateCalls(Calls):
    """Certificates: dicts with ``id``, ``status``, ``equal``, ``missing``, ``extra``, …"""

    def compare(
        self,
        reference: str,
        *,
        sample: int | None = None,
        full: bool = False,
        repair: bool = False,
        source: bool = False,
    ) -> JSON:
        """Have the stores of ``view`` (its default version) or ``view@version`` compared.

        By a sample of so many entities, or all; ``repair`` looks at all and puts right what
        differs; ``source`` compares the stored rows with the source. Answers the certificate, which
        is queued.
        """
        name, version = split_reference(reference)
        version = version or self._get("feature-views", name)["default_version"] or "draft"
        body = {"sample": sample, "full": full, "repair": repair, "source": source}
        sent = {key: value for key, value in body.items() if value not in (None, False)}
        return self._post("feature-views", name, "versions", version, "compare", value=sent)

    def certificates(
        self,
        *,
        feature_view: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> Listed:
        """List what comparisons found, newest first."""
        return self._list_of("certificates", feature_view, status, limit)

    def get_certificate(self, certificate_id: int) -> JSON:
        found: JSON = self._get("certificates", str(certificate_id))
        return found

    def wait_for_certificate(
        self,
        certificate_id: int,
        *,
        timeout_seconds: float | None = None,
        on_progress: OnProgress | None = None,
    ) -> JSON:
        """Wait until a comparison has ended, and return what it found.

        ``on_progress`` gets what each look found.

        :raises StoresDiffer: something differs, or could not be compared.
        :raises WaitTimedOut: it takes longer than ``timeout_seconds``; it goes on.
        """
        wait = Waiting(timeout_seconds, pause=self._transport.pause)
        about = f"certificate {certificate_id}"
        with looking(on_progress, about, lambda found: str(found["status"])) as tell:
            while (found := self.get_certificate(certificate_id))["status"] not in ENDED:
                tell(found)
                if wait.is_over:
                    raise WaitTimedOut(f"{about} goes on; see get_certificate")
                wait.pause()
        if found["status"] != "equal":
            raise StoresDiffer(_said(found), certificate=found)
        return found


def _said(found: JSON) -> str:
    subject = f"{found['feature_view']}@{found['version']}"
    if found["status"] == "failed":
        return f"{subject} could not be compared: {found['error']}"
    kinds = ", ".join(
        f"{found[kind]} {kind}" for kind in ("missing", "extra", "different") if found[kind]
    )
    put_right = f"; {found['repaired']} put right" if found["repaired"] else ""
    return f"{subject}: of {found['compared']} rows {kinds}{put_right}"
