"""Readers of typed values exist before any thread does: msgspec's first use of a type is no
place for two threads."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from registry.spec.fingerprints import canonical_json
from tests.registry.spec.test_change import BASE
from tests.servers import ROOT

SERVER = ("lib", "registry", "materialization", "serving", "featurestore_project")
#: Reads as a type that msgspec may meet for the first time there.
AD_HOC = re.compile(r"\.decode\([^)]*type=|msgspec\.convert\(")
#: Converts single values by annotations whose structs ``parsing`` has readers of.
EXCEPTIONS = {"lib/decoding.py", "registry/reading/shape.py"}

#: Sixteen threads that read their first version, entity, source and request at one instant.
FIRST_READS = """
import os, sys, threading
sys.setswitchinterval(1e-6)
os.environ["DJANGO_SETTINGS_MODULE"] = "featurestore_project.settings"
import django
django.setup()
from registry.spec.version_spec import load_version_spec
from registry.reading.parsing import parse_files
text = sys.stdin.read()
start = threading.Barrier(16)
def read():
    start.wait()
    load_version_spec.__wrapped__(text)
    parse_files([("a.yaml", "kind: Entity\\nname: a\\njoin_keys: [{name: a, type: int64}]")])
threads = [threading.Thread(target=read) for _ in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print("read")
"""


@pytest.mark.parametrize("package", SERVER)
def test_no_type_is_met_for_the_first_time_inside_a_function(package):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / package).rglob("*.py"))
        if str(path.relative_to(ROOT)) not in EXCEPTIONS
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if AD_HOC.search(line)
    ]
    assert found == [], "use lib.decoding, at import"


def test_the_rule_sees_what_it_forbids():
    assert AD_HOC.search("msgspec.json.decode(text, type=VersionSpec)")
    assert AD_HOC.search("msgspec.convert(body, Asked)")
    assert not AD_HOC.search("msgspec.json.decode(text)")


def test_many_threads_read_their_first_version_at_once(tmp_path):
    for _ in range(3):
        outcome = subprocess.run(
            [sys.executable, "-c", FIRST_READS],
            input=canonical_json(BASE),
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=240,
            check=False,
        )
        assert (outcome.returncode, outcome.stdout) == (0, "read\n"), outcome.stderr[-2000:]
