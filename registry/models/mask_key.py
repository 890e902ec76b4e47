"""The secrets that masked forms of a project are made with."""

from __future__ import annotations

import secrets

from django.db import models

from registry.models.project import Project

#: As long as the digest it keys (RFC 2104), and what a wrapped one takes (RFC 3394).
KEY_BYTES, WRAPPED_BYTES = 32, 40


def _new_identity() -> str:
    return secrets.token_hex(8)


class MaskKey(models.Model):
    """One key of one project's hashes; the newest makes those of new versions.

    Versions embed its identity, so none of them ever has hashes of two keys. The secret is on no
    page and in no answer, definition, log or entry: whoever has it can look up any value that can
    be guessed.
    """

    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="+")
    number = models.PositiveIntegerField(default=1)
    #: What versions name it by; it says nothing of the secret.
    identity = models.CharField(max_length=16, unique=True, default=_new_identity)
    #: The secret under a key of the server's: whoever has the database alone has no secret.
    wrapped = models.BinaryField(max_length=WRAPPED_BYTES)
    #: Of the secret; tells it from any other.
    digest = models.CharField(max_length=64)
    made_at = models.DateTimeField()

    class Meta:
        ordering = ("number",)
        constraints = (
            models.UniqueConstraint(fields=("project", "number"), name="registry_maskkey_number"),
        )

    def __str__(self) -> str:
        return self.identity
