"""When stores were looked through."""

from __future__ import annotations

from django.db import models


class StoreLook(models.Model):
    """When a store was last looked through for files that nothing needs, by whichever process."""

    what = models.CharField(max_length=40, primary_key=True)
    looked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"the look through the {self.what}"
