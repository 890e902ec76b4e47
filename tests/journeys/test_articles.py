"""The example of articles as its README walks through it: two versions of a logic, side by side."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from assay import FeatureStore
from assay import errors as client_errors
from tests import servers
from tests.journeys.test_golden_path import assayed, settled, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.journey, pytest.mark.database("sqlite", "postgresql")]

EXAMPLE = servers.ROOT / "examples" / "articles"
VIEWS = ("article_subjects", "article_sentiment")


def install(package: Path, folder: Path) -> None:
    """Install the package as an operator does, from a copy: building leaves files beside it."""
    copy = folder.parent / "package"
    shutil.copytree(package, copy)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    command += ["--no-deps", "--no-build-isolation", "--no-index", str(copy)]
    subprocess.run(command, check=True, capture_output=True)


def approve(ana: FeatureStore, sam: FeatureStore, file: str, *views: str) -> None:
    ana.apply(str(EXAMPLE / "definitions" / file), submit=True)
    for view in views:
        review = until(partial(assayed, sam, view))
        sam.approve(view, comment="looks right", packet_hash=review["packet_hash"])


def read(store: FeatureStore, *references: str) -> Any:
    """Return the answer of each of some articles; None while something is not loaded."""
    articles = [{"article_id": each} for each in (1, 2, 3, 12, 13, 99)]
    try:
        answer = store.get_online_features(features=list(references), entity_rows=articles)
    except (client_errors.Unavailable, client_errors.NotFound):
        return None
    return answer.to_dict()


def test_two_versions_of_a_sentiment_are_served_side_by_side(tmp_path: Path):
    install(EXAMPLE / "package", tmp_path / "transforms")
    environment = {
        "FILE_ROOTS": str(EXAMPLE / "data"),
        "SWEEP_EVERY_SECONDS": "1",
        "PYTHON_FOLDER": str(tmp_path / "transforms"),
        "PYTHON_DISTRIBUTIONS": "articles",
    }
    with servers.assay_server(tmp_path / "state", **environment) as server:
        tokens = settled(server, EXAMPLE / "data")
        ana, sam = (FeatureStore(url=server.url, token=t, project="rides") for t in tokens)
        approve(ana, sam, "1_articles.yaml", *VIEWS)
        approve(ana, sam, "2_sentiment.yaml", "article_sentiment")

        subjects = until(lambda: read(ana, "article_subjects:keyword_density"))
        both = [f"article_sentiment@{version}.0.0:sentiment" for version in (1, 2)]
        until(lambda: all(read(ana, each) for each in both))
        answers: list[Any] = [until(partial(read, ana, each)) for each in both]
        words, phrases = (answer["sentiment"] for answer in answers)
        beside = ana.get_online_features(
            features=both, entity_rows=[{"article_id": 3}], full_feature_names=True
        ).to_dict()

    # One request reads both.
    assert beside["article_sentiment@1.0.0__sentiment"] == [pytest.approx(-1 / 3)]
    assert beside["article_sentiment@2.0.0__sentiment"] == [pytest.approx(2 / 3)]
    assert words == [1.0, 1.0, pytest.approx(-1 / 3), 0.0, -1.0, None]
    assert phrases == [1.0, 1.0, pytest.approx(2 / 3), 0.0, pytest.approx(0.2), None]
    density: list[Any] = [
        each if each is None else _json(each) for each in subjects["keyword_density"]
    ]
    assert (density[3], density[5]) == ({"title": 0.3333}, None)
    assert density[1]["trains"] == density[1]["time"] == 0.0769


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
