"""The direction of imports, and what the command line must not import."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAY = {
    "toolace_ray": {"toolace_ray"},
    "actors": {"toolace_ray", "actors"},
    "jobs": {"toolace_ray", "actors", "jobs"},
}
# The rooms of the method: each imports only from itself and from those above it.
ROOMS = (
    "errors", "records", "config", "schemas", "text", "prompts", "store", "models", "convert",
    "calls", "engines", "dlv", "tss", "sdg", "corpus",
)  # fmt: skip
BENCHMARKS = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


def modules(path):
    """The modules that a file imports, by their full names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert not node.level, f"{path} imports by a relative name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(path):
    return {name.partition(".")[0] for name in modules(path)}


def test_imports_run_one_way():
    for package, allowed in MAY.items():
        for path in (ROOT / package).rglob("*.py"):
            assert imported(path) & set(MAY) <= allowed, path


def test_the_method_imports_no_ray():
    for path in (ROOT / "toolace_ray").rglob("*.py"):
        assert "ray" not in imported(path), path


def room(name):
    """The room of a module by its full name, None for the package itself."""
    part = name.split(".")[1]
    return ROOMS.index(part) if part in ROOMS else None


def test_every_file_of_the_method_stands_in_a_room():
    there = {
        path.relative_to(ROOT / "toolace_ray").parts[0].removesuffix(".py")
        for path in (ROOT / "toolace_ray").rglob("*.py")
    }
    assert there - {"__init__"} == set(ROOMS)


def test_a_room_imports_only_rooms_above_it():
    for path in (ROOT / "toolace_ray").rglob("*.py"):
        own = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name in modules(path):
            if name.startswith("toolace_ray.") and (other := room(name)) is not None and own is not None:
                assert other <= own, f"{path.relative_to(ROOT)} imports {name}, whose room stands below"


def test_files_import_in_no_circle():
    """Not even late, inside a function: two files that need each other are one, or lack a third."""
    files = {}
    for package in MAY:
        for path in (ROOT / package).rglob("*.py"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            files[name] = path
    edges = {}
    for name, path in files.items():
        found = {target if target in files else target.rpartition(".")[0] for target in modules(path)}
        edges[name] = {target for target in found if target in files} - {name}
    done, way = set(), []

    def visit(name):
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name in done:
            return
        way.append(name)
        for target in sorted(edges[name]):
            visit(target)
        way.pop()
        done.add(name)

    for name in sorted(edges):
        visit(name)


def test_no_verb_imports_the_command_line():
    for path in (ROOT / "jobs").glob("*.py"):
        assert not any(name.startswith("jobs.cli") for name in modules(path)), path


IMPORTING = """
import importlib
import sys
import traceback

for name in sys.argv[1:]:
    try:
        importlib.import_module(f"benchmarks.{name}")
    except (Exception, SystemExit):
        print(f"benchmarks.{name}:", traceback.format_exc())
"""


def test_every_benchmark_can_be_imported():
    """What a script imports and calls is the type checker's to hold; that it can be loaded at all is held here.

    In a process of its own: some of them set environment variables, or load Ray.
    """
    assert BENCHMARKS
    done = subprocess.run(
        [sys.executable, "-c", IMPORTING, *BENCHMARKS], capture_output=True, text=True, cwd=ROOT, timeout=200
    )
    assert (done.returncode, done.stdout) == (0, ""), f"{done.stdout}\n{done.stderr}"


def loaded(*arguments):
    code = (
        "import sys\nfrom jobs.cli import main\n"
        f"try: main({list(arguments)!r})\nexcept SystemExit: pass\n"
        "print(' '.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    return set(done.stderr.split()), done.stdout


def test_help_loads_nothing_heavy():
    modules, text = loaded("--help")
    assert "Typical use" in text
    assert not modules & {"torch", "ray", "vllm", "transformers", "pyarrow", "pydantic"}


def test_check_starts_nothing():
    modules, text = loaded("check", "--config", "configs/simulated.yaml")
    assert "40 dialogs" in text
    assert not modules & {"torch", "ray", "vllm", "transformers"}
