"""A view's Python function: what it is given, what it may give, and that rows are made alone."""

from __future__ import annotations

import importlib.util
import os
import py_compile
from pathlib import Path

import msgspec
import pytest

from materialization.compute import look as looks
from materialization.compute.engine import ENGINES
from materialization.compute.limits import PythonLimits
from materialization.errors import PythonChanged, PythonFailed, PythonRefused
from materialization.sources.files import Whereabouts
from registry.spec.encode_steps import Clip
from registry.spec.encodes import EncodeSpec
from registry.spec.model import FeatureSpec
from registry.spec.python_code import PythonCall
from tests.distributions import install, uninstall
from tests.materialization.engine_cases import LIMITS, compute_here, make_spec

LENGTHS = """
import pyarrow as pa, pyarrow.compute as pc

def length(batch):
    return pa.table({"length": pc.utf8_length(batch["text"])})
"""
ROWS = "k,event,text,other\n1,2024-01-01,abc,x\n2,2024-01-02,,y\n3,2024-01-03,straße,z\n"


def python_limits(folder, *listed, **more):
    python = PythonLimits(tuple(listed or ["texts"]), folder, **more)
    return msgspec.structs.replace(LIMITS, python=python)


def view(function="texts:length", *columns, features=(("length", "int64"),)):
    call = PythonCall(function=function, columns=columns)
    return make_spec("rows.csv", features=features, python=call)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "rows.csv").write_text(ROWS)
    return folder


def values(spec, source, limits, column="length"):
    table, _ = compute_here(spec, source, limits=limits)
    return table.sort_by("k")[column].to_pylist()


def test_the_function_makes_each_rows_features(source, tmp_path):
    limits = python_limits(install(tmp_path / "p", texts=LENGTHS))

    assert values(view(), source, limits) == [3, None, 6]


def test_it_is_given_the_columns_it_names_with_keys_and_times(source, tmp_path):
    names = (
        "import pyarrow as pa\n"
        "def seen(batch):\n"
        "    return pa.table({'names': [','.join(batch.schema.names)] * len(batch)})\n"
    )
    limits = python_limits(install(tmp_path / "p", texts=names))
    features = [("names", "string")]

    some = values(view("texts:seen", "text", features=features), source, limits, "names")
    every = values(view("texts:seen", features=features), source, limits, "names")
    assert (some[0], every[0]) == ("k,event,text", "k,event,text,other")


def made(body, source, folder, *, features=(("length", "int64"),), **more):
    """Return the rows that a function of this body makes; it has ``batch`` and pyarrow."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    code = f"import pyarrow as pa, pyarrow.compute as pc\ndef made(batch):\n{lines}"
    limits = python_limits(install(folder, texts=code), **more)
    table, _ = compute_here(view("texts:made", features=features), source, limits=limits)
    return table


WRONG = {
    "return 3": "gave int; give a pyarrow RecordBatch or Table with the columns length",
    "return pa.table({'size': [1, 2, 3]})": "gave no column 'length', but size",
    "return pa.table({'length': [1, 2]})": "gave 2 rows for 3; give one for each",
    "return pa.table({'length': ['a', 'b', 'c']})": "is string; the feature is declared as int64",
    "return pa.table({'length': [1.5, 2.0, 3.0]})": "value of column 'length' (double) is no int64",
    "return pa.table({'length': [[1], [2], [3]]})": "is list<item: int64>; the feature is declared",
    "return {}['a']": "python texts:made: it raised KeyError at line 3 of texts.py, on a batch",
}


@pytest.mark.parametrize("body", WRONG)
def test_what_is_not_what_was_declared_is_told(source, tmp_path, body):
    with pytest.raises(PythonFailed) as raised:
        made(body, source, tmp_path / "p")

    assert WRONG[body] in raised.value.message


CHANGED = {
    ("float32", "[0.5, 16777217.0, 1.0]"): "16777217.0",
    ("float32", "[0.5, 1e300, 1.0]"): "1e+300",
    ("decimal(10,2)", "[0.1, 0.129, 1.0]"): "0.129",
    ("list<float32>", "[[0.5], [0.1], None]"): "[0.1]",
}


@pytest.mark.parametrize(("want", "given"), CHANGED)
def test_no_value_is_rounded_to_what_was_declared(source, tmp_path, want, given):
    body = f"return pa.table({{'length': {given}}})"
    with pytest.raises(PythonFailed, match="none is rounded to its type") as raised:
        made(body, source, tmp_path / "p", features=[("length", want)])

    assert raised.value.example == CHANGED[want, given]


def test_what_a_function_says_may_quote_a_value_and_is_an_example(source, tmp_path):
    with pytest.raises(PythonFailed) as raised:
        made("raise ValueError(batch['text'][0])", source, tmp_path / "p")

    assert "abc" not in raised.value.message
    assert raised.value.example == "abc"


def test_types_become_the_declared_ones_where_no_value_changes(source, tmp_path):
    body = (
        "n = len(batch)\n"
        "return pa.table({'whole': pa.array([1, 2, 3], pa.int8()), 'share': [1, 2, None],\n"
        "    'word': pa.array(['a', 'b', 'a']).dictionary_encode(), 'none': pa.nulls(n),\n"
        "    'said': ['{\"a\": 1}', None, '[]'], 'near': [[1, 2], [0.5, 3], None]})"
    )
    features = [
        ("whole", "int64"), ("share", "float64"), ("word", "string"), ("none", "date"),
        ("said", "json"), ("near", "vector<2>"),
    ]  # fmt: skip

    table = made(body, source, tmp_path / "p", features=features)
    rows = table.select([name for name, _ in features]).to_pylist()
    assert [list(row.values()) for row in rows] == [
        [1, 1.0, "a", None, '{"a": 1}', [1.0, 2.0]],
        [2, 2.0, "b", None, None, [0.5, 3.0]],
        [3, None, "a", None, "[]", None],
    ]


STOPPED = {
    "import socket; socket.socket()": "tried to open a socket",
    "import socket; socket.create_connection(('127.0.0.1', 6379))": "tried to look up an address",
    "import os; os.fork()": "tried to start a process",
    "import subprocess; subprocess.run(['/bin/true'])": "tried to start a process",
    "import os; os.system('true')": "tried to start a process",
    "import os; os.kill(os.getppid(), 9)": "tried to signal a process",
    "open('/etc/passwd').read()": "raised PermissionError at line 3",
    "open({secret!r}).read()": "raised PermissionError at line 3",
    "open({secret!r}, 'w')": "tried to write a file",
    "import os; os.open({secret!r}, os.O_WRONLY)": "tried to write a file",
    "import os; os.remove({secret!r})": "raised PermissionError at line 3",
    "import os; os.listdir('/proc')": "raised PermissionError at line 3",
    "open('/proc/self/environ').read()": "raised PermissionError at line 3",
    "import os; open(f'/proc/{{os.getppid()}}/mem', 'rb')": "raised PermissionError at line 3",
    "import os; os.environ['PATH']": "raised KeyError at line 3",
    "import ctypes": "tried to import ctypes",
    "import mmap; mmap.mmap(-1, 1 << 30)": "raised PermissionError at line 3",
    "bytearray(4 << 30)": "needed more than 256 MB of memory",
    "[str(n) * 1000 for n in range(10 ** 7)]": "needed more than 256 MB of memory",
    "while True: pass": "took longer than 2 s for a batch of 3 rows",
    "import time; time.sleep(60)": "took longer than 2 s for a batch of 3 rows",
    "import os; os._exit(3)": "its process ended with 3",
    "import os; os.kill(os.getpid(), 11)": "tried to signal a process",
    "import sys; sys.exit()": "raised SystemExit at line 3",
    "import os; [os.write(n, b'j' * 64) for n in range(3, 9)]": "raised OSError at line 3",
}


@pytest.mark.parametrize("body", STOPPED)
def test_what_a_function_may_not_do_is_stopped_and_told(source, tmp_path, body):
    secret = tmp_path / "db.sqlite3"
    secret.write_text("token")
    limits = {"memory_limit_mb": 256, "batch_seconds": 2.0}

    with pytest.raises(PythonFailed) as raised:
        made(body.format(secret=str(secret)), source, tmp_path / "p", **limits)

    said = f"{raised.value.message} {raised.value.example}"
    assert STOPPED[body] in said
    assert "texts:made" in said
    assert secret.read_text() == "token"


def test_columns_are_given_as_the_source_has_them(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        '{"k": 1, "event": "2024-01-01", "text": "abc", "deep": {"a": [1]}}\n'
        '{"k": 2, "event": "2024-01-02", "text": null}\n'
    )
    body = "return pa.table({'length': [len(t or '') for t in batch['text'].to_pylist()]})"
    code = f"import pyarrow as pa\ndef made(batch):\n    {body}\n"
    code += "def names(batch):\n    return pa.table({'length': [len(batch.schema)] * len(batch)})\n"
    limits = python_limits(install(tmp_path / "p", texts=code))
    call = {"features": [("length", "int64")]}

    lengths = make_spec("rows.jsonl", python=PythonCall(function="texts:made"), **call)
    names = make_spec("rows.jsonl", python=PythonCall(function="texts:names"), **call)
    assert values(lengths, tmp_path, limits) == [3, 0]
    assert values(names, tmp_path, limits) == [4, 4]


def test_what_the_function_gives_may_be_encoded(source, tmp_path):
    limits = python_limits(install(tmp_path / "p", texts=LENGTHS))
    spec = view()
    encoded = FeatureSpec(
        name="capped", type="float64", column="length",
        encode=EncodeSpec(steps=(Clip(max=4),)),
    )  # fmt: skip
    whole = msgspec.structs.replace(
        spec, view=msgspec.structs.replace(spec.view, features=(encoded,))
    )

    assert values(whole, source, limits, "capped") == [3.0, None, 4.0]


def test_libraries_that_people_compute_with_are_at_work(source, tmp_path):
    body = (
        "import numpy as np, pandas as pd\n"
        "from sklearn.feature_extraction.text import HashingVectorizer\n"
        "made = HashingVectorizer(n_features=8).transform(batch['other'].to_pylist())\n"
        "assert np.linalg.inv(np.eye(200)).sum() == 200\n"
        "said = batch.to_pandas()['text'].str.len()\n"
        "return pa.table({'length': pa.array(said, from_pandas=True).cast(pa.int64())})"
    )

    table = made(body, source, tmp_path / "p")
    assert table.sort_by("k")["length"].to_pylist() == [3, None, 6]


def test_a_folder_of_its_own_goes_before_the_servers_packages(source, tmp_path):
    """There is a distribution of this name beside the server's, with another function."""
    code = (
        "import pyarrow as pa\n"
        "def made(batch):\n"
        "    return pa.table({'length': batch['k'].cast(pa.int64())})\n"
    )
    limits = python_limits(install(tmp_path / "p", name="croniter", croniter=code), "croniter")
    spec = view("croniter:made")

    assert values(spec, source, limits) == [1, 2, 3]
    assert look(spec, source, limits).code.version == "1.0"


#: Past Python's own doors, through a library that may import ctypes.
BY_CTYPES = "import library; return pa.table({{'length': [library.call({call})] * len(batch)}})"
CALLS = {
    "socket": "'socket', 2, 1, 0",
    "fork": "'fork'",
    "kill": "'kill', 1, 0",
    "a file": "'open', b'/etc/passwd', 0",
    "a program": "'execve', b'/bin/true', None, None",
    "a device": "'mknod', b'/tmp/x', 0, 0",
    "memory of others": "'ptrace', 16, 1, 0, 0",
    "mounts": "'mount', None, None, None, 0, None",
    "rights of a file": "'chmod', b'/tmp', 0o777",
    "a stack of 4 GB": "'mmap', None, 4 << 30, 3, 0x122, -1, 0",
    "shared memory": "'mmap', None, 4 << 30, 3, 0x21, -1, 0",
    "limits of others": "'prlimit', 1, 0, None, None",
    "whom a signal goes to": "'fcntl', 0, 8, 1",
}


@pytest.mark.parametrize("what", CALLS)
def test_the_kernel_refuses_what_goes_past_python(source, tmp_path, what):
    library = (
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "def call(name, *given):\n"
        "    return -1000 + ctypes.get_errno() if getattr(libc, name)(*given) == -1 else 0\n"
    )
    install(tmp_path / "p", name="library", library=library)

    table = made(BY_CTYPES.format(call=CALLS[what]), source, tmp_path / "p")
    assert set(table["length"].to_pylist()) <= {-999, -987}  # EPERM, EACCES


def test_a_process_that_was_stopped_is_gone(source, tmp_path):
    with pytest.raises(PythonFailed):
        made("while True: pass", source, tmp_path / "p", batch_seconds=1.0)

    running = [each.read_bytes() for each in Path("/proc").glob("[0-9]*/cmdline")]
    assert not [
        words for words in running if b"confined/main.py" in words and b"%d" % os.getpid() in words
    ]


REFUSED = {
    ("texts:length", ()): "no Python package is allowed here",
    (
        "texts:length",
        ("other",),
    ): "no listed distribution has a module texts: other (not installed)",
    ("nothing:length", ("texts",)): "no listed distribution has a module nothing: texts 1.0",
    ("os:getenv", ("texts",)): "no listed distribution has a module os",
    ("texts:width", ("texts",)): "texts of texts 1.0 has no function 'width'; it has length",
    ("texts:pa", ("texts",)): "has no function 'pa'",
    ("broken:length", ("broken",)): "broken cannot be imported: ModuleNotFoundError: No module",
}


@pytest.mark.parametrize(("function", "listed"), REFUSED)
def test_what_is_not_listed_or_not_there_is_refused_by_name(source, tmp_path, function, listed):
    folder = install(tmp_path / "p", texts=LENGTHS)
    install(folder, name="broken", broken="import nothing_of_the_kind\n")
    python = PythonLimits(listed, folder)

    with pytest.raises(PythonRefused) as raised:
        compute_here(view(function), source, limits=msgspec.structs.replace(LIMITS, python=python))
    assert REFUSED[function, listed] in raised.value.message


def test_none_is_run_where_a_wall_lacks_that_is_demanded(source, tmp_path):
    limits = python_limits(install(tmp_path / "p", texts=LENGTHS), demands=("seccomp", "moat"))

    with pytest.raises(PythonRefused, match="its kernel lacks moat, which PYTHON_CONFINEMENT"):
        compute_here(view(), source, limits=limits)


def code_of(spec, source, limits):
    return look(spec, source, limits).code


def look(spec, source, limits):
    (report,) = looks.look(
        [spec], where=Whereabouts(root=str(source)), engine=ENGINES["duckdb"](limits)
    )
    return report


def test_a_look_says_what_is_installed_and_a_run_refuses_anything_else(source, tmp_path):
    folder = install(tmp_path / "p", texts=LENGTHS)
    limits = python_limits(folder)
    code = code_of(view(), source, limits)
    taken = view().taken(schema=None, code=code)

    assert (code.distribution, code.version, len(code.sha256)) == ("texts", "1.0", 64)
    assert values(taken, source, limits) == [3, None, 6]

    install(folder, texts=LENGTHS.replace("pc.utf8_length", "pc.binary_length"))
    with pytest.raises(PythonChanged, match=r"texts 1\.0.* has other files of the same version"):
        values(taken, source, limits)

    uninstall(folder)
    install(folder, version="1.1", texts=LENGTHS)
    with pytest.raises(PythonChanged, match=r"submitted with texts 1\.0 .* is texts 1\.1"):
        values(taken, source, limits)


def test_data_beside_the_code_are_part_of_it(source, tmp_path):
    folder = install(tmp_path / "p", texts=LENGTHS, words="good = 1\n")
    before = code_of(view(), source, python_limits(folder))
    install(folder, texts=LENGTHS, words="good = 2\n")

    assert code_of(view(), source, python_limits(folder)) != before


def test_a_file_that_is_not_as_it_was_installed_is_refused(source, tmp_path):
    folder = install(tmp_path / "p", texts=LENGTHS)
    (tmp_path / "p" / "texts.py").write_text(LENGTHS + "\n")

    with pytest.raises(PythonChanged, match=r"texts\.py of texts 1\.0 is not the file that was"):
        values(view(), source, python_limits(folder))


def test_a_compiled_file_beside_the_code_is_not_run(source, tmp_path):
    folder = install(tmp_path / "p", texts=LENGTHS)
    other = tmp_path / "other.py"
    other.write_text(LENGTHS.replace('batch["text"]', 'batch["none"]'))
    # As one that was made of the file itself: with its time and size.
    made_of = (tmp_path / "p" / "texts.py").stat()
    os.utime(other, ns=(made_of.st_atime_ns, made_of.st_mtime_ns))
    cached = importlib.util.cache_from_source(str(tmp_path / "p" / "texts.py"))
    py_compile.compile(str(other), cfile=cached, doraise=True)

    assert values(view(), source, python_limits(folder)) == [3, None, 6]


def test_a_module_that_is_no_file_of_the_distribution_is_not_imported(source, tmp_path):
    folder = install(tmp_path / "p", texts__a=LENGTHS + "import texts.b\n", texts____init__="")
    (tmp_path / "p" / "texts" / "b.py").write_text("")

    with pytest.raises(PythonRefused, match=r"texts/b\.py is no file of texts"):
        values(view("texts.a:length"), source, python_limits(folder))


UNLIKE = {
    "import random; return pa.table({'length': [random.random() for _ in batch['k']]})":
        "when the rows come in another order",
    "return pa.table({'length': list(range(len(batch)))})": "when the rows come in another order",
    "return pa.table({'length': [len(batch)] * len(batch)})": "when batches have",
    "seen.append(1); return pa.table({'length': [len(seen)] * len(batch)})":
        "when the rows come in another order",
}  # fmt: skip


@pytest.mark.parametrize("body", UNLIKE)
def test_a_function_that_looks_at_other_rows_is_refused_at_a_look(source, tmp_path, body):
    code = f"import pyarrow as pa\nseen = []\ndef made(batch):\n    {body}\n"
    limits = python_limits(install(tmp_path / "p", texts=code))
    features = [("length", "float64")]

    ((path, message),) = look(view("texts:made", features=features), source, limits).problems
    assert path == ("python",)
    assert UNLIKE[body] in message


def test_a_look_has_the_problems_of_the_function_where_the_view_names_it(source, tmp_path):
    folder = install(tmp_path / "p", texts=LENGTHS)
    sound = look(view(), source, python_limits(folder))
    unlisted = look(view("nothing:length"), source, python_limits(folder))
    column = look(view("texts:length", "txt"), source, python_limits(folder))

    assert (sound.problems, sound.rows) == ([], 3)
    assert unlisted.problems[0][0] == ("python",)
    assert column.problems[0] == (
        ("python",),
        "rows.csv: the source has no column 'txt'. Did you mean 'text'?",
    )


def test_batches_are_bounded_and_results_do_not_hang_on_them(tmp_path):
    (tmp_path / "rows.csv").write_text(
        "k,event,text\n" + "".join(f"{n},2024-01-01,{'x' * (n % 50)}\n" for n in range(1, 20_001))
    )
    code = LENGTHS + (
        "def sizes(batch):\n    assert len(batch) <= 2048\n    return length(batch)\n"
    )
    limits = python_limits(install(tmp_path / "p", texts=code), memory_limit_mb=128)

    got = values(view("texts:sizes"), tmp_path, msgspec.structs.replace(limits, threads=2))
    assert got == [n % 50 or None for n in range(1, 20_001)]


def test_threads_that_wait_for_a_function_are_told_what_ended_it(tmp_path):
    rows = "".join(f"{n},2024-01-01,x\n" for n in range(1, 200_001))
    (tmp_path / "rows.csv").write_text(f"k,event,text\n{rows}")
    code = "import time\ndef made(batch):\n    time.sleep(0.2)\n    return batch['none']\n"
    limits = python_limits(install(tmp_path / "p", texts=code))

    with pytest.raises(PythonFailed, match="it raised KeyError at line 4"):
        values(view("texts:made"), tmp_path, msgspec.structs.replace(limits, threads=4))
