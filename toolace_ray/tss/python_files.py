"""The public functions of Python files as tools, read from the text: signatures, type hints, defaults, docstrings.

Invariants: nothing of a file is imported or run; a function whose call can't be carried is a reason; what is left out is
optional in a call, and told. A name stands for what binds it last in its file or class; where branches define it in several
ways it is a reason. Public is what no underscore begins, and what `__all__` names where a file has one.
"""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

from toolace_ray.errors import UserError
from toolace_ray.records.json import digest
from toolace_ray.tss.python_docs import Documented
from toolace_ray.tss.python_types import NOTHING, Bound, Hint, Types, UnknownType, bindings, last_name, statements
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
    bodies: list[tuple[list[ast.stmt], str, tuple[str, ...]]] = [(tree.body, "", ())]
    for body, owner, above in bodies:  # which grows by the classes that are met
        for word, bound in bindings(body).items():
            if word.startswith("_") or (not owner and exported is not None and word not in exported):
                continue
            name = f"{owner}.{word}".removeprefix(".")
            node, said = _meant(bound)
            if isinstance(node, str):
                yield f"{name} {node}"
            elif isinstance(node, ast.ClassDef):
                bodies.append((node.body, name, above + said))
            elif node is not None:
                domain = (module, owner) if owner else (module,)
                read = partial(_tool, types, node, name, bool(owner), above + said)
                yield UnreadTool(f"{name} (line {node.lineno})", name, domain, read)


def _meant(bound: Bound) -> tuple[_Function | ast.ClassDef | str | None, tuple[str, ...]]:
    """The function or class that a name stands for where its file was run, and the other lines that bind the name; a text where
    there is none, or where it depends on branches which one it is; None for what is no function."""
    last = [node for node, _ in bound.last if _is_called(node) or not isinstance(node, _Function)]
    meant = [node for node in last if _is_called(node)]
    others = tuple(f"line {node.lineno}" for node in last if not _is_called(node))
    if not meant:
        before = [node for node in bound.before if _is_called(node) and _offers(node)]
        return (f"(line {before[-1].lineno}): {others[0]} binds its name anew" if before and others else None), ()
    if len({_signature(node) for node in meant}) > 1 and any(map(_offers, meant)):
        lines = ", ".join(str(node.lineno) for node in meant)
        return f"(line {meant[0].lineno}): its branches define it in several ways (lines {lines})", ()
    return meant[0], (*(f"line {node.lineno}" for node in meant[1:]), *others)


def _is_called(node: ast.stmt) -> TypeGuard[_Function | ast.ClassDef]:
    """Whether a statement defines what calls may be of: a function, or a class with its methods."""
    if isinstance(node, _Function):
        return not any(last_name(item) in _NO_FUNCTIONS for item in node.decorator_list)
    return isinstance(node, ast.ClassDef)


def _offers(node: _Function | ast.ClassDef) -> bool:
    """Whether a definition has functions to offer: a class of fields alone has none."""
    bodies = [node.body] if isinstance(node, ast.ClassDef) else []
    for body in bodies:  # which grows by the classes in it
        for item, _ in statements(body):
            if _is_called(item) and not item.name.startswith("_"):
                if isinstance(item, _Function):
                    return True
                bodies.append(item.body)
    return isinstance(node, _Function)


def _signature(node: _Function | ast.ClassDef) -> str:
    if isinstance(node, ast.ClassDef):
        return ast.dump(node)
    return ast.dump(node.args) + (ast.dump(node.returns) if node.returns else "")


def _exported(tree: ast.Module) -> set[str] | None:
    """The names in `__all__`, None where there is none that can be read."""
    names: set[str] | None = None
    for node, _ in statements(tree.body):
        value, word = _of_all(node)
        if value is None:
            continue
        try:
            given = ast.literal_eval(value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return None
        given = [given] if word in ("append", "remove") else given
        if not isinstance(given, list | tuple | set) or not all(isinstance(item, str) for item in given):
            return None
        names = (names or set()) - {*given} if word == "remove" else (names or set()) | {*given}
    return names


def _of_all(node: ast.stmt) -> tuple[ast.expr | None, str]:
    """What a statement makes of `__all__`: a value, and the method that takes it; None where it makes nothing of it."""
    targets: list[ast.expr] = []
    value, word = None, ""
    if isinstance(node, ast.Assign):
        targets, value = node.targets, node.value
    elif isinstance(node, ast.AugAssign | ast.AnnAssign):
        targets, value = [node.target], node.value
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and isinstance(node.value.func, ast.Attribute):
        targets, word = [node.value.func.value], node.value.func.attr
        value = node.value.args[0] if len(node.value.args) == 1 else ast.Name(word)
    named = any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets)
    return (value, word) if named else (None, "")


def _tool(types: Types, node: _Function, name: str, method: bool, bound: tuple[str, ...], told: Told) -> Tool:
    """See UnreadTool.read. `bound`: where the name of the function, or of a class above it, is bound in another branch."""
    for line in bound:
        told.add("its name is bound in another branch, too", line)
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
    rest = [(stars, item) for stars, item in (("*", arguments.vararg), ("**", arguments.kwarg)) if item]
    inputs = _inputs(types, taken, rest, docs, told)
    words = {"name": name, "description": docs.description, "inputSchema": inputs}
    output = _output(types, node.returns, docs, told)
    if output is not None:
        words["outputSchema"] = output
    return Tool(words, docs.errors)


def _inputs(
    types: Types,
    taken: list[tuple[ast.arg, ast.expr | None]],
    rest: list[tuple[str, ast.arg]],
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
    gathered = []
    for stars, item in rest:
        unpacked = types.unpacked(item.annotation)
        if unpacked is None or (stars == "*" and isinstance(unpacked, ast.Name)):  # any number of values
            gathered.append(f"{stars}{item.arg}")
            told.add("left out, optional", gathered[-1])
            continue
        try:
            name, _ = types.local(unpacked)
            if stars == "*" or types.kind(name) != "typed dict":
                raise UnknownType(f"the type {types.written(unpacked)!r}, which is not read")
            definitions = types.definitions([name], told)
        except UnknownType as error:
            raise SpecError(f"'{stars}{item.arg}', which says what a call needs, has {error}") from error
        given = definitions[name]
        if again := properties.keys() & given["properties"].keys():
            raise SpecError(f"{min(again)!r} is a parameter and in '{stars}{item.arg}', too")
        classes.update(definitions)
        properties.update({key: _described(schema, key, docs) for key, schema in given["properties"].items()})
        required += given["required"]
    if not properties and (rest or taken):
        names = [*(item.arg for item, _ in taken), *gathered]
        raise SpecError(f"nothing of what it takes can be carried: {', '.join(names[:8])}")
    taken_names = {item.arg for item, _ in taken} | {item.arg for _, item in rest} | properties.keys()
    for name in docs.parameters:
        if name not in taken_names:
            told.add("described, but no parameter", name[:60])
    schema: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    if not any(name.startswith("**") for name in gathered):
        schema["additionalProperties"] = False
    return {**schema, "$defs": classes} if classes else schema


def _described(schema: dict[str, Any], name: str, docs: Documented) -> dict[str, Any]:
    text, _ = docs.parameters.get(name, ("", ""))
    return {**schema, "description": text} if text and "description" not in schema else schema


def _parameter(types: Types, item: ast.arg, default: ast.expr | None, docs: Documented, told: Told) -> Hint:
    """A parameter's schema with its description and default. Raises UnknownType."""
    text, kind = docs.parameters.get(item.arg, ("", ""))
    call = default if isinstance(default, ast.Call) and types.called(default) == "Field" else None
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
