"""What the encodings of versions were fitted to."""

from __future__ import annotations

import secrets

from django.db import models

from registry.models.feature_view_version import FeatureViewVersion


def _new_identity() -> str:
    return secrets.token_hex(8)


class Fitting(models.Model):
    """The parameters of one encoding, found out once by a worker; once they are in, they stay.

    As long as a submitted version has them: those of submissions that came back from review go.

    Versions embed its identity, so versions that share stored rows share parameters too: whoever
    has the same encoding of the same column, fitted on the same range, takes the one there is.
    """

    #: The submission it was made for.
    version = models.ForeignKey(
        FeatureViewVersion, on_delete=models.PROTECT, related_name="fittings_made"
    )
    #: What versions name it by.
    identity = models.CharField(max_length=16, unique=True, default=_new_identity)
    #: The fingerprint of all that decides the parameters but the rows themselves.
    content = models.CharField(max_length=64)
    #: Canonical JSON: what each step was fitted to, in order. Empty until a worker found it out.
    parameters = models.TextField(blank=True, default="")
    #: How many rows of the source it was fitted on.
    rows = models.PositiveBigIntegerField(default=0)
    #: The version whose table had them, where rows arrive; empty: the source itself.
    rows_of = models.CharField(max_length=200, blank=True, default="")
    #: Since when that table has had rows.
    rows_since = models.DateTimeField(null=True, blank=True)
    made_at = models.DateTimeField()
    fitted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # "Is there one of the same content?" is asked by each submission with encodings.
        indexes = (models.Index(fields=("content",), name="registry_fitting_content"),)

    def __str__(self) -> str:
        return self.identity
