"""Where the admin's first page comes from; what is on it is ``dashboard``'s."""

from __future__ import annotations

from django.contrib import admin

admin.site.index_template = "featurestore_project/dashboard.html"
admin.site.index_title = "Overview"
