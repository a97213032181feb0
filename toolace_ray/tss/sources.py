"""What a run reads: which files are documents and which are ready tools.

Invariant: the files of a source are named in one order, whatever the file system says.
"""

from __future__ import annotations

import glob
from pathlib import Path

from toolace_ray.config.tree import SourcesConfig
from toolace_ray.errors import UserError
from toolace_ray.tss.readers import READERS

SPEC_SUFFIXES = {"openapi": (".json", ".yaml", ".yml"), "mcp": (".json",)}


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
    """Kind (`document`, `openapi`, `mcp`) -> files of all sources. Raises UserError when there is nothing to read."""
    result = {
        "document": expand(config.documents, tuple(READERS), "sources.documents"),
        "openapi": expand(config.openapi, SPEC_SUFFIXES["openapi"], "sources.openapi"),
        "mcp": expand(config.mcp, SPEC_SUFFIXES["mcp"], "sources.mcp"),
    }
    if not any(result.values()) and not config.mcp_servers:
        raise UserError(
            "sources: nothing to read; set sources.documents, sources.openapi, sources.mcp or sources.mcp_servers"
        )
    return result


def named(config: SourcesConfig) -> dict[str, list[str]]:
    """Kind -> the spec files that the configuration names one by one: what is wrong with them is the user's error."""
    return {
        "openapi": [path for path in config.openapi if Path(path).is_file()],
        "mcp": [path for path in config.mcp if Path(path).is_file()],
    }
