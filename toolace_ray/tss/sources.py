"""What a run reads: which files are documents and which are ready tools.

Invariant: the files of a source are named in one order, whatever the file system says.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from toolace_ray.config.tree import SourcesConfig
from toolace_ray.errors import UserError
from toolace_ray.tss.readers import READERS

SPEC_SUFFIXES = {
    "openapi": (".json", ".yaml", ".yml"),
    "mcp": (".json",),
    "tools": (".json", ".jsonl"),
    "python": (".py",),
}


def expand(patterns: tuple[str, ...], suffixes: tuple[str, ...], key: str) -> list[str]:
    """The files that folders, globs and paths name, sorted. Raises UserError for one that names nothing."""
    paths: set[str] = set()
    for pattern in patterns:
        if Path(pattern).is_dir():
            hits = [str(path) for path in Path(pattern).rglob("*") if path.is_file()]
        else:
            hits = [path for path in glob.glob(pattern, recursive=True) if Path(path).is_file()]
        hits = [path for path in hits if Path(path).suffix.lower() in suffixes and path.isprintable()]
        if not hits:
            what = "folder holds no" if Path(pattern).is_dir() else "path or glob matches no"
            raise UserError(f"{key}: {pattern}: this {what} file ending in {', '.join(suffixes)}")
        paths.update(hits)
    return sorted(paths)


def files(config: SourcesConfig) -> dict[str, list[str]]:
    """Kind (`document`, or one of SPEC_SUFFIXES) -> files of all sources. Raises UserError when there is nothing to read."""
    result = {"document": expand(config.documents, tuple(READERS), "sources.documents")}
    for kind, patterns in _spec_patterns(config).items():
        result[kind] = expand(patterns, SPEC_SUFFIXES[kind], f"sources.{kind}")
    if not any(result.values()) and not config.mcp_servers:
        kinds = ", ".join(f"sources.{kind}" for kind in ("documents", *SPEC_SUFFIXES))
        raise UserError(f"sources: nothing to read; set {kinds} or sources.mcp_servers")
    return result


def named(config: SourcesConfig) -> dict[str, list[str]]:
    """Kind -> the spec files that the configuration names one by one: what is wrong with them is the user's error.

    Raises UserError for a Python module that isn't there.
    """
    return {
        kind: [path for path in patterns if Path(path).is_file()] for kind, patterns in _spec_patterns(config).items()
    }


def _spec_patterns(config: SourcesConfig) -> dict[str, tuple[str, ...]]:
    """Kind of specification -> paths and globs, with those of modules in place of their names."""
    modules = tuple(place for name in config.python for place in _places(name))
    return {"openapi": config.openapi, "mcp": config.mcp, "tools": config.tools, "python": modules}


def _places(name: str) -> Iterator[str]:
    """A path or glob itself, or where the module or package of this name lies. Raises UserError for a name of neither."""
    if name.endswith(".py") or Path(name).exists() or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", name):
        yield name
    elif places := _module(name):
        yield from places
    else:
        raise UserError(
            f"sources.python: {name}: there is no such path, and no installed module of this name is written in Python"
        )


def _module(name: str) -> list[str]:
    """The file of a module or the folders of a package, none where there is no such thing in Python.

    Found part by part, since `importlib.util.find_spec` imports the packages around a module, and that runs them.
    """
    parts, folders, spec = name.split("."), None, None
    for count in range(1, len(parts) + 1):
        spec = PathFinder.find_spec(".".join(parts[:count]), folders)
        if spec is None:
            return []
        try:
            folders = list(spec.submodule_search_locations or ())
        except KeyError:  # a package without an __init__ inside another one, which isn't imported
            return []
    origin = spec.origin if spec is not None else None
    return folders or ([origin] if origin is not None and origin.endswith(".py") and Path(origin).is_file() else [])
