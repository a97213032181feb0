"""References of a specification: where a `$ref` leads, within the document and within its folder.

Invariants: nothing is read over the network or outside the folder of the document; a reference that leads nowhere is a
SpecError that names it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from toolace_ray.errors import UserError
from toolace_ray.tss.spec_files import MAX_SPEC_CHARS, read_spec

MAX_FILES = 512
MAX_CHAIN = 32


class SpecError(ValueError):
    """Why an operation or tool can't be imported: one sentence."""


class References:
    """Follows the references of one document.

    Args:
        tree: the document.
        path: its file; None for a document that may not refer to others.
    """

    def __init__(self, tree: Any, path: str | None = None) -> None:
        self._trees = {"": tree}
        self._errors: dict[str, str] = {}
        self._path = Path(path).resolve() if path else None
        self._left = MAX_SPEC_CHARS

    @property
    def document(self) -> Any:
        """The document itself."""
        return self._trees[""]

    def target(self, reference: str, base: str) -> tuple[Any, str, str]:
        """What a reference in the file `base` ("" for the document itself) leads to, the file that it stands in, and a name
        that is the same for all references to it.

        Raises:
            SpecError: it leads nowhere, or to where nothing is read.
        """
        file, _, pointer = reference.partition("#")
        base = self._file(file, base, reference) if file else base
        if pointer and not pointer.startswith("/"):
            raise SpecError(f"the reference {reference!r} leads nowhere (anchors are not followed)")
        node = self._trees[base]
        parts = pointer.split("/")[1:] if pointer else []
        for part in parts:
            node = _below(node, part, reference)
        return node, base, f"{base}#{unquote(pointer)}"

    def followed(self, node: Any, base: str) -> tuple[Any, str]:
        """`node`, or what it refers to at last, and the file that this stands in; its own texts count beside the target's."""
        own: dict[str, Any] = {}
        for _ in range(MAX_CHAIN):
            reference = node.get("$ref") if isinstance(node, dict) else None
            if not isinstance(reference, str):
                return ({**node, **own} if own and isinstance(node, dict) else node), base
            own = {**{key: value for key, value in node.items() if key != "$ref"}, **own}
            node, base, _ = self.target(reference, base)
        raise SpecError(f"the reference {reference!r} leads to itself")

    def _file(self, file: str, base: str, reference: str) -> str:
        if self._path is None or re.match(r"[a-zA-Z][a-zA-Z0-9+.-]+:|//", file):
            raise SpecError(f"the reference {reference!r} leads out of the document; only files of its folder are read")
        place = (Path(base).parent if base else self._path.parent) / unquote(file)
        try:
            path = place.resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a null byte; links that lead to each other
            raise SpecError(f"the reference {reference!r} leads nowhere ({error})") from error
        if path == self._path:
            return ""
        if not path.is_relative_to(self._path.parent):
            raise SpecError(f"the reference {reference!r} leads out of the document's folder")
        name = str(path)
        if name not in self._trees and name not in self._errors:
            self._read(name, path)
        if name in self._errors:
            raise SpecError(f"the reference {reference!r} leads nowhere ({self._errors[name]})")
        return name

    def _read(self, name: str, path: Path) -> None:
        try:
            self._left -= path.stat().st_size if path.is_file() else 0
            if not path.is_file():
                self._errors[name] = "there is no such file"
            elif self._left < 0 or len(self._trees) > MAX_FILES:
                self._errors[name] = f"more than {MAX_FILES} files or {MAX_SPEC_CHARS} bytes in all"
            else:
                self._trees[name] = read_spec(name)
        except (UserError, OSError) as error:
            self._errors[name] = str(error).removeprefix(f"{name}: ")


def _below(node: Any, part: str, reference: str) -> Any:
    for key in (unquote(part).replace("~1", "/").replace("~0", "~"), part):
        if isinstance(node, dict) and key in node:
            return node[key]
        if isinstance(node, list) and key.isascii() and key.isdigit() and int(key) < len(node):
            return node[int(key)]
    raise SpecError(f"the reference {reference!r} leads nowhere")
