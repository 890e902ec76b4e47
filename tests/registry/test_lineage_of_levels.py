"""Lineage through views that read views, over many levels, against the obviously right loop."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from django.urls import reverse

from registry.lineage_graph import Graph, Key, Role
from registry.models import Feature
from tests import factories
from tests.factories import make_ready, make_version

pytestmark = pytest.mark.django_db

URL = "/api/v1/projects/rides/lineage"
PARTS = """
kind: Entity
name: ride
join_keys: [{name: ride_id, type: int64}]
---
kind: DataSource
name: rides
type: file
path: rides.parquet
event_timestamp: at
"""


def view(name, reads):
    """A view of one feature: of a column of its own name, and of what it reads."""
    entries = ", ".join(f'{{features: ["{each}:x"]}}' for each in reads)
    made = " + ".join([f"col_{name}", *(f"{each}.x" for each in reads)])
    return f"""
kind: FeatureView
name: {name}
entities: [ride]
source: rides
{f"views: [{entries}]" if reads else ""}
sql: SELECT ride_id, at, {made} AS x FROM rides
features: [{{name: x, type: float64}}]
"""


def distances(edges, start):
    """How far each thing is, by trying every edge until nothing gets nearer."""
    found = {start: 0}
    changed = True
    while changed:
        changed = False
        for upper, lower in edges:
            if upper in found and found[upper] + 1 < found.get(lower, 10**9):
                found[lower] = found[upper] + 1
                changed = True
    return found


@pytest.mark.parametrize("seed", range(3))
def test_views_of_views_are_traced_both_ways(cast, api, seed):
    draw = random.Random(seed)
    names, edges = [f"v{i}" for i in range(10)], set()
    factories.apply(PARTS, cast)
    for place, name in enumerate(names):
        reads = draw.sample(names[:place], k=min(place, draw.choice([0, 1, 1, 2, 3])))
        make_ready(make_version(cast, text=view(name, reads)))
        for column in ("ride_id", f"col_{name}") if reads else (f"col_{name}",):
            edges |= {
                (("data-source", "rides"), ("column", f"rides.{column}")),
                (("column", f"rides.{column}"), ("feature", f"{name}:x")),
            }
        edges |= {(("feature", f"{each}:x"), ("feature", f"{name}:x")) for each in reads}
    upward = {(lower, upper) for upper, lower in edges}
    client = api(cast.consumer)

    for start in [("feature", f"{name}:x") for name in names] + [("data-source", "rides")]:
        down, up = distances(edges, start), distances(upward, start)
        wanted = down | {key: -far for key, far in up.items()}
        answer = client.get(f"{URL}/{start[0]}/{start[1]}", {"limit": 200}).json()
        found = {(each["kind"], each["name"]): each for each in answer["results"]}
        assert {key: each["distance"] for key, each in found.items()} == wanted
        assert answer["complete"]
        for key, each in found.items():
            near = upward if each["distance"] > 0 else edges
            step = 1 if each["distance"] > 0 else -1
            nearer = {
                other
                for one, other in near
                if one == key and other in found
                if found[other]["distance"] == each["distance"] - step
            }
            via = {(one["kind"], one["name"]) for one in each["via"]}
            assert via == (nearer if each["distance"] else set())


@pytest.mark.parametrize("seed", range(50))
def test_any_graph_is_walked_as_the_loop_says(seed):
    draw = random.Random(seed)
    graph, edges = Graph(lambda reference: Key("feature", str(reference))), set()
    count = draw.randint(2, 30)
    keys = [Key("feature", f"v{i}:x") for i in range(count)]
    for _ in range(draw.randint(1, 80)):
        upper, lower = draw.choice(keys), draw.choice(keys)
        if upper != lower:
            graph.add(upper, lower, Role.VALUE)
            edges.add((upper, lower))
    start, deep = draw.choice(keys), draw.randint(1, 6)

    steps = graph.around([start], up=0, down=deep)
    above = graph.around([start], up=deep, down=0)

    down = distances(edges, start)
    up = distances({(lower, upper) for upper, lower in edges}, start)
    assert {s.key: s.distance for s in steps} == {k: d for k, d in down.items() if d <= deep}
    assert {s.key: -s.distance for s in above} == {k: d for k, d in up.items() if d <= deep}
    assert graph.goes_on(steps, up=0, down=deep) == any(far > deep for far in down.values())
    assert graph.goes_on(above, up=deep, down=0) == any(far > deep for far in up.values())


def test_a_long_chain_is_told_whole_or_told_to_go_on(cast, api):
    factories.apply(PARTS, cast)
    names = [f"v{i}" for i in range(14)]
    for place, name in enumerate(names):
        make_ready(make_version(cast, text=view(name, names[max(0, place - 1) : place])))
    client = api(cast.consumer)

    whole = client.get(f"{URL}/feature/v0:x", {"limit": 200}).json()
    part = client.get(f"{URL}/feature/v0:x", {"depth": 3}).json()

    assert max(each["distance"] for each in whole["results"]) == 13
    assert (whole["complete"], part["complete"]) == (True, False)
    assert max(each["distance"] for each in part["results"]) == 3


def test_the_page_draws_a_level_beside_the_other(cast, client):
    factories.apply(PARTS, cast)
    for name, reads in (("a", []), ("b", ["a"]), ("c", ["a", "b"])):
        make_ready(make_version(cast, text=view(name, reads)))
    client.force_login(cast.author)
    feature = Feature.objects.get(version__feature_view__name="b")

    page = client.get(reverse("admin:registry_feature_change", args=[feature.pk])).content.decode()

    places = defaultdict(list)
    for part in page.split("<title>")[1:]:
        name = part.partition("<")[0]
        places[int(part.partition('x="')[2].partition('"')[0])].append(name)
    features = {
        each[0].split()[1]: x for x, each in places.items() if each[0].startswith("feature ")
    }
    assert features["a:x,"] < features["b:x,"] < features["c:x,"]
    assert "of features" in page
