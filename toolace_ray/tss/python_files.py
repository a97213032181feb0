"""The public functions of Python files as tools, read from the text: signatures, type hints, defaults, docstrings.

Invariants: nothing of a file is imported or run; a function whose call can't be carried is a reason; what is left out is
optional in a call, and told. Public is what no underscore begins, and what `__all__` names where a file has one.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from toolace_ray.errors import UserError
from toolace_ray.records.json import digest
from toolace_ray.tss.python_docs import Documented
from toolace_ray.tss.python_types import NOTHING, Hint, Types, UnknownType, last_name, statements
from toolace_ray.tss.references import SpecError
from toolace_ray.tss.spec_files import spec_text
from toolace_ray.tss.spec_unions import NULL
from toolace_ray.tss.told import Told
from toolace_ray.tss.unread_tool import Tool, UnreadTool

MAX_SOURCE = 1 << 20  # bytes; the tree of a file takes some hundred times as much
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_NO_FUNCTIONS = {"property", "cached_property", "abstractproperty", "setter", "getter", "deleter", "overload"}
_WITHOUT_EFFECT = {"staticmethod", "classmethod", "abstractmethod", "override", "final", "cache", "lru_cache"}
_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def read(path: str) -> tuple[str, Iterator[UnreadTool | str]]:
    """A Python file's digest and its public functions and methods.

    Raises:
        UserError: the file is no readable Python.
    """
    text = spec_text(path, MAX_SOURCE)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a stranger's text: invalid escapes and the like
            tree = ast.parse(text)
    except SyntaxError as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise UserError(f"{path}: line {error.lineno}: no Python of version {version} ({error.msg})") from error
    except (ValueError, RecursionError, MemoryError) as error:
        reason = "it nests too deep" if not isinstance(error, ValueError) else str(error)
        raise UserError(f"{path}: not readable as Python ({reason})") from error
    place = Path(path)
    module = place.resolve().parent.name if place.stem == "__init__" else place.stem
    return digest(text), _functions(tree, module.capitalize())


def _functions(tree: ast.Module, module: str) -> Iterator[UnreadTool | str]:
    types, exported = Types(tree), _exported(tree)
    found: dict[str, tuple[_Function, str]] = {}
    bodies: list[tuple[list[ast.stmt], str]] = [(tree.body, "")]
    for body, owner in bodies:  # which grows by the classes that are met
        for node in statements(body):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not owner and exported is not None and node.name not in exported:
                continue
            name = f"{owner}.{node.name}".removeprefix(".")
            if isinstance(node, ast.ClassDef):
                bodies.append((node.body, name))
            elif not any(last_name(item) in _NO_FUNCTIONS for item in node.decorator_list):
                found[name] = node, owner  # of two of one name Python keeps the later, too
    for name, (node, owner) in found.items():
        domain = (module, owner) if owner else (module,)
        yield UnreadTool(f"{name} (line {node.lineno})", name, domain, partial(_tool, types, node, name, bool(owner)))


def _exported(tree: ast.Module) -> set[str] | None:
    """The names in `__all__`, None where there is none that can be read."""
    names: set[str] | None = None
    for node in statements(tree.body):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            try:
                value = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                return None
            if not isinstance(value, list | tuple):
                return None
            names = (names or set()) | {item for item in value if isinstance(item, str)}
    return names


def _tool(types: Types, node: _Function, name: str, method: bool, told: Told) -> Tool:
    """See UnreadTool.read."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    decorators = [last_name(item) for item in node.decorator_list]
    if method and "staticmethod" not in decorators:
        positional, defaults = positional[1:], defaults[1:]
    taken = [*zip(positional, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    docs = types.docstrings.read(ast.get_docstring(node), [item.arg for item, _ in taken])
    for part in docs.left_out:
        told.add("of the docstring, not carried", part)
    for decorator in decorators:
        if decorator not in _WITHOUT_EFFECT:
            told.add("decorators are not looked at", decorator or "one without a name")
    gathered = [f"{stars}{item.arg}" for stars, item in (("*", arguments.vararg), ("**", arguments.kwarg)) if item]
    inputs = _inputs(types, taken, gathered, docs, told)
    words = {"name": name, "description": docs.description, "inputSchema": inputs}
    output = _output(types, node.returns, docs, told)
    if output is not None:
        words["outputSchema"] = output
    return Tool(words, docs.errors)


def _inputs(
    types: Types,
    taken: list[tuple[ast.arg, ast.expr | None]],
    gathered: list[str],
    docs: Documented,
    told: Told,
) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    required: list[str] = []
    classes: dict[str, Any] = {}
    for item, default in taken:
        changes = Told()
        try:
            hint = _parameter(types, item, default, docs, changes)
            definitions = types.definitions(hint.classes, changes)
        except UnknownType as error:
            if default is None:
                raise SpecError(f"{item.arg!r}, which a call needs, has {error}") from error
            told.add("left out, optional and its type is not read", item.arg)
            continue
        told.take(changes)
        classes.update(definitions)
        properties[item.arg] = hint.schema
        if not hint.optional:
            required.append(item.arg)
    for name in gathered:
        told.add("left out, optional", name)
    if not properties and (gathered or taken):
        names = [*(item.arg for item, _ in taken), *gathered]
        raise SpecError(f"nothing of what it takes can be carried: {', '.join(names[:8])}")
    taken_names = {item.arg for item, _ in taken} | {name.strip("*") for name in gathered}
    for name in docs.parameters:
        if name not in taken_names:
            told.add("described, but no parameter", name[:60])
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if not any(name.startswith("**") for name in gathered):
        schema["additionalProperties"] = False
    return {**schema, "$defs": classes} if classes else schema


def _parameter(types: Types, item: ast.arg, default: ast.expr | None, docs: Documented, told: Told) -> Hint:
    """A parameter's schema with its description and default. Raises UnknownType."""
    text, kind = docs.parameters.get(item.arg, ("", ""))
    call = default if isinstance(default, ast.Call) and last_name(default) == "Field" else None
    value = NOTHING if default is None or call is not None else types.value(default)
    if item.annotation is not None:
        hint = types.hint(item.annotation, told, item.arg)
    elif kind:
        hint = types.hint_of_text(kind, told, item.arg)
        told.add("types taken from the docstring", item.arg)
    elif type(value) in _TYPES:
        hint = Hint({"type": _TYPES[type(value)]})
        told.add("types taken from defaults", item.arg)
    else:
        raise UnknownType("no type")
    if call is not None:
        types.take_field(hint, call, told, item.arg)
    elif default is not None:
        hint.optional = True
        hint.default = value
        if value is NOTHING:
            told.add("defaults that are no plain values", item.arg)
    if hint.default is not NOTHING:
        hint.schema["default"] = hint.default
    if text and "description" not in hint.schema:
        hint.schema["description"] = text
    return hint


def _output(types: Types, node: ast.expr | None, docs: Documented, told: Told) -> dict[str, Any] | None:
    """The schema of what a function returns; text where it isn't read, None where nothing is said of it."""
    text, kind = docs.answer
    described = {"description": text} if text else {}
    changes = Told()
    try:
        if node is not None:
            hint = types.hint(node, changes, "")
        elif kind:
            hint = types.hint_of_text(kind, changes, "")
        else:
            return {"type": "string", **described} if text else None
        schema = hint.schema
        if not schema:
            raise UnknownType("any type")
        definitions = types.definitions(hint.classes, changes)
    except UnknownType as error:
        told.add(f"the answer is given as text: it has {error}")
        return {"type": "string", "description": text or "Text"}
    told.take(changes, "in the answer, ")
    if schema == NULL:
        described = {"description": text or "Nothing"}
    return {**described, **schema, **({"$defs": definitions} if definitions else {})}
