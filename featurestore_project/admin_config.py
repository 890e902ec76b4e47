"""Django's admin, with the site that opens the catalogue to readers (``registry.site``)."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class AssayAdminConfig(AdminConfig):
    default = True
    default_site = "registry.site.AssaySite"
