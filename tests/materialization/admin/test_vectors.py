"""What a vector's page says of its index."""

from __future__ import annotations

import pytest
from django.db.models import F
from django.urls import reverse
from django.utils.html import strip_tags

from materialization.models import VectorIndex
from registry.models import Feature, FeatureTable
from tests.serving.search_world import loaded, row

pytestmark = pytest.mark.django_db


@pytest.fixture
def version(cast, sources):
    return loaded(cast, sources, [row(1, [1.0, 0, 0, 0]), row(2, None)])


def page(as_, version, name):
    feature = Feature.objects.get(version=version, name=name)
    answer = as_("consumer").get(reverse("admin:registry_feature_change", args=[feature.pk]))
    assert answer.status_code == 200
    return " ".join(strip_tags(answer.text).split())


def test_a_vectors_page_says_what_can_be_found(as_, version):
    said = page(as_, version, "embedding")

    assert "1 of 2 entities can be found" in said
    assert "2026-03-01 12:00" in said
    assert "all vectors" in said
    reaches = {"dot": [], "cosine": [{"k": 10, "rows": 1200, "recall": 0.991}]}
    VectorIndex.objects.update(cells={"embedding": {"cells": 632, "reaches": reaches}})
    told = page(as_, version, "embedding")
    assert "the nearest of 632 cells, by metric:" in told
    assert "cosine 1,200 vectors for 10 hits, recall 0.991 dot all vectors" in told
    assert "behind" not in said.partition("Search Vectors")[2].partition("Takes")[0]
    assert "can be found" not in page(as_, version, "pages")


def test_an_index_that_lags_or_lacks_says_so(as_, version):
    FeatureTable.objects.update(stored_version=F("stored_version") + 1)
    assert "s behind takes" in page(as_, version, "embedding").lower()

    VectorIndex.objects.update(file="", error="they take more than 1 MB")
    assert "they take more than 1 MB" in page(as_, version, "embedding")

    VectorIndex.objects.all().delete()
    assert "Not indexed yet" in page(as_, version, "embedding")
