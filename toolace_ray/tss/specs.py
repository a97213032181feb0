"""Ready tools as APIs: OpenAPI 3.x and Swagger 2 documents, MCP `tools/list` results, clients' lists of tools, Python files.

Invariants: a call's parameters are carried whole or the operation is refused: only optional ones beyond a bound are left out,
and what was left out, translated or made up is in the lineage's notes; an answer never decides; an operation or tool that
can't be imported is a reason, never an exception.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from toolace_ray.errors import UserError
from toolace_ray.records.api import Api, ApiError, Lineage
from toolace_ray.records.json import canonical_json, check_json, digest
from toolace_ray.schemas.draw import example_object, instance
from toolace_ray.schemas.gate import unwieldy
from toolace_ray.schemas.validate import SchemaError, check_schema, errors
from toolace_ray.schemas.walk import fields
from toolace_ray.tss import python_files, tool_lists
from toolace_ray.tss.references import References, SpecError
from toolace_ray.tss.spec_files import read_spec
from toolace_ray.tss.spec_operations import METHODS, operation_parts
from toolace_ray.tss.spec_schemas import BOUNDS, Expansion, NothingLeft, TooLarge
from toolace_ray.tss.spec_unions import flattened
from toolace_ray.tss.told import Derived, Told, kind_of_value, letters_of, words_of
from toolace_ray.tss.unread_tool import Tool, UnreadTool

Undescribed = Literal["refuse", "derive", "write"]
MAX_CHARS = 20_000  # of one operation's parameters, or of its answer, as JSON
MAX_NAME = 64
_FAULTS = (ValueError, TypeError, KeyError, AttributeError, RecursionError, IndexError)


def import_openapi(path: str, undescribed: Undescribed = "derive") -> Iterator[Api | str]:
    """The operations of an OpenAPI 3.x or Swagger 2 document as APIs; a string says why an operation was left out.

    Args:
        undescribed: whether descriptions that are missing are derived, see sources.undescribed; what is to be written is
            derived first.

    Raises:
        UserError: the file is no such document.
    """
    tree = read_spec(path)
    version = str(tree.get("openapi") or tree.get("swagger") or "") if isinstance(tree, dict) else ""
    if not version.startswith(("3.", "2.")):
        raise UserError(
            f"{path}: not an OpenAPI 3.x or Swagger 2 document (no `openapi: 3...` or `swagger: 2...` key); "
            "see sources.openapi"
        )
    if not isinstance(tree.get("paths"), dict):
        raise UserError(f"{path}: the OpenAPI document has no `paths`")
    document = digest(json.dumps(tree, sort_keys=True))
    info = tree.get("info")
    title = str((info.get("title") if isinstance(info, dict) else "") or Path(path).stem)
    references, names = References(tree, path), _Names()
    for route, raw in tree["paths"].items():
        if route.startswith("x-"):
            continue
        try:
            item, base = references.followed(raw, "")
        except _FAULTS as error:
            yield f"{route}: {_sentence(error)}"
            continue
        if not isinstance(item, dict):
            if item is not None:  # a path without operations
                yield f"{route}: it is {kind_of_value(item)} in place of a path item"
            continue
        for method in sorted(item, key=_order):
            if method in _OF_PATHS or str(method).startswith("x-"):
                continue
            label = f"{str(method).upper()} {route}"
            if fault := _no_operation(method, item[method]):
                yield f"{label}: {fault}"
                continue
            try:
                yield _operation(references, base, route, method, item, title, document, names, undescribed)
            except _FAULTS as error:
                yield f"{label}: {_sentence(error)}"


_OF_PATHS = {"$ref", "summary", "description", "servers", "parameters"}
"""What stands in a path item beside its operations."""


def _order(method: str) -> int:
    return METHODS.index(method) if method in METHODS else len(METHODS)


def _no_operation(method: str, value: Any) -> str:
    """Why what stands in a path item is no operation of ours; "" where it is one."""
    if method not in METHODS:
        if method.lower() in METHODS:
            return f"`{method}` is no method of OpenAPI's, which are written in small letters"
        return f"`{method}` operations are not read"
    return "" if isinstance(value, dict) else f"it is {kind_of_value(value)} in place of an operation"


def _operation(
    references: References,
    base: str,
    route: str,
    method: str,
    item: dict[str, Any],
    title: str,
    document: str,
    names: _Names,
    undescribed: Undescribed,
) -> Api:
    operation, told = item[method], Told()
    parts = operation_parts(references, base, route, item, method)
    derive = undescribed != "refuse"
    parameters = _bounded(parts.parameters, references, derive, told)
    returns, response_errors = _answer(parts.answer, references, told), parts.errors
    name = names.unique(str(operation.get("operationId") or f"{method}{route}"))
    texts = [str(operation.get(key) or "").strip() for key in ("description", "summary")]
    description = next((text for text in texts if len(text) >= 10), texts[0] or texts[1])
    tags = operation.get("tags")
    domain = (title, str(tags[0])) if isinstance(tags, list) and tags else (title,)
    return _api(
        name=name,
        description=description,
        parameters=parameters,
        returns=returns,
        errors=response_errors,
        side_effects=method != "get",
        domain=domain,
        lineage=Lineage(documents=(document,), source="openapi", operation=f"{method.upper()} {route}"),
        told=told,
        derive=derive,
    )


def _bounded(
    build: Callable[[Expansion], Any], references: References, derive: bool, told: Told, answers: bool = False
) -> Any:
    """What `build` makes under the widest of BOUNDS under which it is small enough. Raises SpecError."""
    nothing: NothingLeft | None = None
    for levels, width, top in BOUNDS:
        expansion = Expansion(references, levels, width, top, answers=answers, derive=derive)
        try:
            schema = build(expansion)
        except TooLarge:
            continue
        except NothingLeft as error:
            nothing = error
            continue
        if len(canonical_json(schema)) <= MAX_CHARS:
            told.take(expansion.told, "in the answer, " if answers else "")
            return schema
    if nothing is not None:
        raise nothing
    raise SpecError(f"its schema is too large: more than {MAX_CHARS} characters with nothing optional in it")


def _answer(build: Callable[[Expansion], Any], references: References, told: Told) -> dict[str, Any]:
    """The schema of an answer; text where nothing better can be carried."""
    try:
        schema = _bounded(build, references, True, told, answers=True)
        check_schema(schema)
        if fault := unwieldy(schema):
            raise SpecError(fault)
        if isinstance(schema, dict) and (
            schema.get("properties")
            or schema.get("type") not in (None, "object")
            or not schema.keys().isdisjoint(("anyOf", "oneOf", "allOf", "enum", "const"))
        ):
            return schema
        reason = "it says too little"
    except _FAULTS as error:
        schema, reason = None, _sentence(error)
    told.add(f"the answer is given as text: {reason[:160]}")
    text = schema.get("description") if isinstance(schema, dict) else None
    return {"type": "string", "description": str(text or "What the operation answers.")}


def _api(
    *,
    name: str,
    description: str,
    parameters: dict[str, Any],
    returns: dict[str, Any],
    lineage: Lineage,
    told: Told,
    derive: bool,
    errors: tuple[ApiError, ...],
    side_effects: bool,
    domain: tuple[str, ...],
) -> Api:
    if derive and " " not in description and letters_of(description) == letters_of(name):
        description = ""  # a generator's
    if derive and len(description) < 10:
        told.add("description derived")
        said = f"{description.rstrip('.')}: " if description else ""
        text = words_of(name)
        description = Derived(f"{said}{text[:1].upper()}{text[1:]} ({domain[0]}).")
    undescribed = [""] if isinstance(description, Derived) else []
    undescribed += [
        sub.place for sub in fields(parameters) if sub.named and isinstance(sub.schema.get("description"), Derived)
    ]
    api = Api(
        name=name,
        description=description,
        parameters=parameters,
        returns=returns,
        errors=errors,
        side_effects=side_effects,
        domain=domain,
        example_arguments=_valid_example("arguments", parameters, told),
        example_return=_valid_example("answer", returns, told),
        lineage=lineage,
    )
    for part, schema in (("call", parameters), ("answer", returns)):
        try:
            fault = _fault(schema, instance(schema, random.Random(api.id)))
        except (ValueError, TypeError, ArithmeticError) as error:
            fault = str(error)
        if fault:
            told.add(f"no example of its {part} can be drawn ({fault[:120]})")
    lineage = lineage.model_copy(update={"notes": told.notes(), "undescribed": tuple(undescribed)})
    return api.model_copy(update={"lineage": lineage})


def _valid_example(what: str, schema: Any, told: Told) -> Any:
    example = example_object(schema)
    if example is None:
        return None
    try:
        fault = _fault(schema, check_json(example))
    except ValueError as error:
        fault = str(error)
    if fault:
        told.add(f"the document's example of its {what} is left out, it does not fit ({fault[:120]})")
        return None
    return example


def _fault(schema: Any, value: Any) -> str:
    """Why a value does not fit a schema, "" where it does or where the schema is the gate's to refuse."""
    try:
        return next(iter(errors(schema, value, 1)), "")
    except SchemaError:
        return ""


class _Names:
    """Names of one document's functions: no two differ in punctuation or case alone."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._tried: dict[str, int] = {}  # what is called so there -> hashes that ended its names; taken, each of them

    def unique(self, written: str) -> str:
        """The name of what is called `written` there; one that is taken ends in a hash of what was written."""
        clean = re.sub(r"[^a-zA-Z0-9_-]+", "_", written).strip("_")
        if not re.search(r"[a-zA-Z0-9]", clean):  # a name in another script
            clean = f"function_{digest(written, length=6)}"
        name, count = clean[:MAX_NAME], self._tried.get(written, 0)
        while re.sub(r"[^a-z0-9]", "", name.lower()) in self._taken:
            end = digest(written, str(count) if count else "", length=6)
            name, count = f"{clean[: MAX_NAME - 7]}_{end}", count + 1
        self._tried[written] = count
        self._taken.add(re.sub(r"[^a-z0-9]", "", name.lower()))
        return name


def _sentence(error: BaseException) -> str:
    """An error as people read it."""
    if isinstance(error, SpecError):
        return str(error)
    if isinstance(error, ValidationError):
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]!r}"
    if isinstance(error, RecursionError):
        return "its schema nests too deep"
    if isinstance(error, TypeError | AttributeError | IndexError):
        return f"a part of it has another form than the format asks for ({error})"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def import_mcp(path: str, undescribed: Undescribed = "derive") -> Iterator[Api | str]:
    """The tools of a saved MCP `tools/list` result as APIs; a string says why a tool was left out.

    Args:
        undescribed: see import_openapi.

    Raises:
        UserError: the file holds no `tools` list.
    """
    tree = read_spec(path)
    if isinstance(tree, list) and tree and all(isinstance(tool, dict) and "name" in tool for tool in tree):
        tree = {"tools": tree}  # the list alone, as people save it
    tree = tree.get("result", tree) if isinstance(tree, dict) else tree
    if not isinstance(tree, dict) or not isinstance(tree.get("tools"), list):
        raise UserError(f"{path}: not an MCP tools/list result (no `tools` list); see sources.mcp")
    yield from import_tools(tree, tool_lists.domain_of(path), undescribed=undescribed)


def import_tools(
    tree: dict[str, Any], server: str, live: bool = False, undescribed: Undescribed = "derive"
) -> Iterator[Api | str]:
    """The tools of a tools/list result as APIs of one domain, named after the server.

    Args:
        live: the server can be asked; its tools may fail at any time, and an error says so.
        undescribed: see import_openapi.
    """
    document, names = digest(json.dumps(tree, sort_keys=True)), _Names()
    for index, tool in enumerate(tree["tools"]):
        label = f"tool {index}"
        try:
            if not isinstance(tool, dict):
                raise SpecError(f"{kind_of_value(tool)} in place of a tool")
            if not isinstance(tool.get("name"), str):
                raise SpecError("it has no name")
            label = f"tool {index} ({tool['name']!r})"
            lineage = Lineage(
                documents=(document,),
                source="mcp",
                server=server if live else "",
                tool=tool["name"] if live else "",
                operation=tool["name"],
            )
            failed = (ApiError(code="tool_error", message="The tool failed."),) if live else ()
            told = Told()
            words = _mcp_words(tool, told)
            yield _tool(Tool(words, failed), told, (server.capitalize(),), lineage, names, undescribed)
        except _FAULTS as error:
            yield f"{label}: {_sentence(error)}"
    if tree.get("nextCursor") is not None:
        yield "the list: it goes on behind its `nextCursor`, and the tools there were not read"


def _mcp_words(tool: dict[str, Any], told: Told) -> dict[str, Any]:
    """An MCP tool read as those of other lists are. Raises SpecError."""
    key = next((key for key in tool_lists.INPUTS if tool.get(key) is not None), None)
    if key is None:
        raise SpecError("it has no inputSchema, so what it takes is not known")
    if key != "inputSchema":
        told.add(f"`{key}` read as inputSchema")
    return tool_lists.read_tool(tool, told).words


def import_tool_lists(path: str, undescribed: Undescribed = "derive") -> Iterator[Api | str]:
    """The tools of a JSON or JSONL file in OpenAI's, Anthropic's and Gemini's forms as APIs; a string says why one was left out.

    Args:
        undescribed: see import_openapi.

    Raises:
        UserError: the file is not readable, or nothing in it is a tool.
    """
    document, found = tool_lists.read(path)
    yield from _import_found(found, "tools", document, undescribed)


def import_python(path: str, undescribed: Undescribed = "derive") -> Iterator[Api | str]:
    """The public functions of a Python file as APIs; a string says why one was left out. Nothing of the file is run.

    Args:
        undescribed: see import_openapi.

    Raises:
        UserError: the file is no readable Python.
    """
    document, found = python_files.read(path)
    yield from _import_found(found, "python", document, undescribed)


def _import_found(
    found: Iterable[UnreadTool | str], source: Literal["tools", "python"], document: str, undescribed: Undescribed
) -> Iterator[Api | str]:
    names = _Names()
    for item in found:
        if isinstance(item, str):
            yield item
            continue
        try:
            told = Told()
            lineage = Lineage(documents=(document,), source=source, operation=item.operation)
            yield _tool(item.read(told), told, item.domain, lineage, names, undescribed)
        except _FAULTS as error:
            yield f"{item.label}: {_sentence(error)}"


IMPORTERS: dict[str, Callable[[str, Undescribed], Iterator[Api | str]]] = {
    "openapi": import_openapi,
    "mcp": import_mcp,
    "tools": import_tool_lists,
    "python": import_python,
}
"""Kind of source (see sources.files) -> what reads a file of it."""


def _tool(
    item: Tool, told: Told, domain: tuple[str, ...], lineage: Lineage, names: _Names, undescribed: Undescribed
) -> Api:
    tool, derive = item.words, undescribed != "refuse"
    source = tool["inputSchema"]
    parameters = _bounded(lambda expansion: _arguments(source, expansion), References(source), derive, told)
    output = tool.get("outputSchema")
    if not output:
        output = {"type": "string", "description": "Text"}
        if not any(what.startswith("the answer is given as text") for what in told.places):
            told.add("nothing is said of the answer, it is given as text")
    returns = _answer(lambda expansion: expansion.schema(output, "", ""), References(output), told)
    annotations = tool.get("annotations") or {}
    title = str(tool.get("title") or annotations.get("title") or "").strip()
    return _api(
        name=names.unique(tool["name"]),
        description=str(tool.get("description") or title).strip(),
        parameters=parameters,
        returns=returns,
        side_effects=not annotations.get("readOnlyHint", False),
        domain=domain,
        errors=item.errors,
        lineage=lineage,
        told=told,
        derive=derive,
    )


def _arguments(source: dict[str, Any], expansion: Expansion) -> dict[str, Any]:
    """The parameters of a tool; a union of objects at the top becomes one object with a choice of what is required."""
    schema = expansion.schema({"type": "object", **source}, "", "")
    if not isinstance(schema, dict):
        raise SpecError("its inputSchema is no object schema")
    if schema.keys() & {"anyOf", "oneOf"}:
        whole = flattened(schema)
        if whole is None:
            raise SpecError("its arguments are a union whose alternatives can't be told as one object")
        expansion.told.add("a union of objects is told as one object with a choice of what is required")
        described = {name: expansion.described(name, sub, name) for name, sub in whole["properties"].items()}
        schema = {**whole, "properties": described}
    return schema
