"""Where everything is mounted: the apps under /api/v1, the admin, schema, health.

Not for an app's own paths: each has its ``urls.py``.
"""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from featurestore_project import health, metrics
from registry.admin import openid
from registry.admin.login import login

handler400 = "featurestore_project.problem.bad_request"
handler403 = "featurestore_project.problem.forbidden"
handler404 = "featurestore_project.problem.not_found"
handler500 = "featurestore_project.problem.server_error"

urlpatterns = [
    path("", RedirectView.as_view(url="/admin/")),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("catalogue", RedirectView.as_view(url="/admin/registry/feature/", query_string=True)),
    path(
        "catalogue/<slug:project>/<slug:kind>/<path:name>",
        RedirectView.as_view(pattern_name="admin:registry_feature_of"),
    ),
    path("admin/login/", login),  # before the site's own, which has no limits
    path("admin/openid/login", openid.begin, name="openid-login"),
    path("admin/openid/link", openid.link, name="openid-link"),
    path("admin/openid/callback", openid.callback, name="openid-callback"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("registry.api.urls")),
    path("api/v1/", include("materialization.api.urls")),
    path("api/v1/", include("serving.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    # Its script in a file of its own: the policy of our pages runs none that is in a page.
    path("api/docs", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", metrics.metrics),
]
