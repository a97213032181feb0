"""Bad input: one clear sentence, exit code 2, nothing half-written."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from jobs.cli import main
from jobs.progress import Progress
from jobs.session import session
from jobs.verify import _files
from toolace_ray.config.load import parse
from toolace_ray.errors import RunStopped, UserError

ROOT = Path(__file__).parents[2]


def toolace(*arguments):
    done = CliRunner().invoke(main, list(arguments))
    return done.exit_code, done.output


def config(tmp_path, **sections):
    path = tmp_path / "config.yaml"
    tree = {
        "run": {"path": str(tmp_path / "run")},
        "pools": {"small": {"engine": "simulated"}},
        "sources": {"mcp": [str(ROOT / "examples/specs/*.mcp.json")]},
        **sections,
    }
    path.write_text(json.dumps(tree))
    return str(path)


def model_without_weights(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return {"pools": {"small": {"model": str(folder)}}}


def empty_documents(tmp_path):
    (tmp_path / "documents").mkdir()
    return {"sources": {"documents": [str(tmp_path / "documents")]}}


def no_openapi(tmp_path):
    (tmp_path / "a.json").write_text('{"hello": "world"}')
    return {"sources": {"openapi": [str(tmp_path / "a.json")]}}


def no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    return {"run": {"path": str(tmp_path / "file" / "run")}}


CASES = {
    "missing source": (lambda p: {"sources": {"documents": [str(p / "none")]}}, "sources.documents"),
    "no source": (lambda p: {"sources": {}}, "sources: nothing to read"),
    "empty folder": (empty_documents, "this folder holds no file ending in .txt, .text, .rst, .md"),
    "not OpenAPI": (no_openapi, "not an OpenAPI 3.x or Swagger 2 document"),
    "model without weights": (model_without_weights, "holds no weights"),
    "model that is nowhere": (lambda p: {"pools": {"small": {"model": "no-such"}}}, "neither a folder nor a name of the registry"),
    "key not set": (
        lambda p: {"pools": {"small": {"engine": "openai", "url": "http://127.0.0.1:9/v1", "api_key_env": "NO_SUCH_KEY"}}},
        "NO_SUCH_KEY is not set",
    ),
    "unknown rule": (lambda p: {"verify": {"rules": {"enumm": "off"}}}, "no rule is named enumm"),
    "run path under a file": (no_folder, "run.path"),
    "unknown key": (lambda p: {"generate": {"max_tool": 3}}, "did you mean generate.max_tools?"),
}  # fmt: skip


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_sentence_with_exit_code_2(tmp_path, name, command):
    make, says = CASES[name]
    code, text = toolace(command, "--config", config(tmp_path, **make(tmp_path)))
    if name == "run path under a file" and command == "check":
        return  # check writes nothing, so it cannot fail there
    assert code == 2, text
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    assert says in text
    assert not (tmp_path / "run" / "run.yaml").exists() or name in (
        "model without weights",
        "model that is nowhere",
        "key not set",
    )


def test_a_configuration_that_is_not_there():
    code, text = toolace("run", "--config", "no/such.yaml")
    assert (code, text.count("\n")) == (2, 1)
    assert "no/such.yaml" in text


def test_settings_alone_are_a_configuration_where_the_default_one_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, text = toolace("check", "--set", f"sources.mcp={ROOT / 'examples/specs/office.mcp.json'}")
    assert code == 0, text
    assert "files: mcp 1; 7 APIs imported" in text
    code, text = toolace("check")
    assert (code, text.count("\n")) == (2, 1)
    assert "configs/local.yaml" in text


@pytest.mark.parametrize("arguments", [("show", "no/such/run"), ("status", "no/such/run")])
def test_a_run_that_is_not_there(arguments):
    code, text = toolace(*arguments)
    assert code == 2
    assert "no run there" in text


def test_check_says_what_would_happen(tmp_path):
    code, text = toolace("check", "--config", config(tmp_path))
    assert code == 0, text
    for part in ("pool small: 1 x simulated", "26 dialogs", "7 APIs", "estimate"):
        assert part in text
    assert not (tmp_path / "run").exists()
    code, text = toolace("check", "--config", config(tmp_path), "--rules")
    assert "argument_provenance" in text


def test_models_are_listed():
    code, text = toolace("models", "list")
    assert code == 0
    assert "qwen2.5-coder-0.5b-instruct" in text
    assert "Apache-2.0" in text
    code, text = toolace("models", "fetch", "nothing")
    assert code == 2


def test_one_driver_at_a_time(tmp_path):
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, text = toolace("run", "--config", config(tmp_path))
    assert code == 2
    assert "another command works on this run" in text


def test_what_a_job_may_not_read_is_not_told_as_its_run(tmp_path):
    configuration = parse({"run": {"path": str(tmp_path / "run")}, "pools": {"small": {"engine": "simulated"}}})
    with pytest.raises(PermissionError, match="secret"), session(configuration, Progress()):
        raise PermissionError(errno.EACCES, "Permission denied", "/secret")


def test_what_a_verification_may_not_read_is_not_told_as_its_output(tmp_path):
    with pytest.raises(PermissionError, match="secret"), _files(str(tmp_path / "out")):
        raise PermissionError(errno.EACCES, "Permission denied", "/secret")
    assert os.listdir(tmp_path / "out") == []


def test_an_output_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"--output .*file/out: cannot write there"), _files(str(tmp_path / "file/out")):
        pytest.fail("the files opened")
    (tmp_path / "out/accepted.jsonl").mkdir(parents=True)
    with pytest.raises(UserError, match=r"--output .*out: cannot write there"), _files(str(tmp_path / "out")) as files:
        files[0].write("{}")
    assert os.listdir(tmp_path / "out") == ["accepted.jsonl"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the right to mount a small file system")
def test_a_full_disk_is_one_sentence(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], capture_output=True, check=False
    ).returncode:
        pytest.skip("this machine does not let us mount a tmpfs")
    try:
        path = config(tmp_path, run={"path": str(disk / "run")})
        done = subprocess.run(
            [sys.executable, "-m", "jobs.cli", "run", "--config", path], cwd=ROOT, capture_output=True, text=True, timeout=120
        )  # fmt: skip
        assert done.returncode == 2, done.stderr[-2000:]
        assert "no room on the disk" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(disk.rglob("*.tmp"))
    finally:
        subprocess.run(["umount", str(disk)], check=False)


def test_a_run_that_was_stopped_says_why_and_is_no_users_fault(tmp_path, monkeypatch):
    def stopped(_):
        raise RunStopped("the process that plans this run has died; the same command goes on from there")

    monkeypatch.setattr("jobs.generate.generate", stopped)
    code, text = toolace("generate", "--config", config(tmp_path))
    assert code == 1
    assert text == "error: the process that plans this run has died; the same command goes on from there\n"
