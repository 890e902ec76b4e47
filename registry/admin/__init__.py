"""The review desk and the catalogue: what is registered, for people in a browser.

Not for rules: pages show what ``queries`` and models say, buttons call ``operations``.
"""

from __future__ import annotations

from registry.admin import (
    audit,
    catalog,
    feature_views,
    features,
    grants,
    news,
    overview,
    projects,
    proposals,
    review,
    service_accounts,
    services,
    sources,
    tokens,
    users,
)

__all__ = [
    "audit",
    "catalog",
    "feature_views",
    "features",
    "grants",
    "news",
    "overview",
    "projects",
    "proposals",
    "proposals",
    "review",
    "service_accounts",
    "services",
    "sources",
    "tokens",
    "users",
]
