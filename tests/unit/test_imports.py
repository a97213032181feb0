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


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_imports_run_one_way():
    for package, allowed in MAY.items():
        for path in (ROOT / package).rglob("*.py"):
            assert set(imported(path)) & set(MAY) <= allowed, path


def test_the_method_imports_no_ray():
    for path in (ROOT / "toolace_ray").rglob("*.py"):
        assert "ray" not in set(imported(path)), path


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
