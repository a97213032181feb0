"""The parts of an OpenAPI 3.x or Swagger 2 operation: what a call takes, what it answers, its errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from toolace_ray.records.api import ApiError
from toolace_ray.schemas.gate import MAX_PARAMETERS
from toolace_ray.tss.references import References, SpecError
from toolace_ray.tss.spec_schemas import Expansion
from toolace_ray.tss.spec_unions import flattened
from toolace_ray.tss.told import Derived, letters_of, words_of

METHODS = ("get", "put", "post", "delete", "patch")
INLINE = ("type", "format", "items", "enum", "default", "minimum", "maximum", "pattern", "minLength", "maxLength", "minItems",
          "maxItems", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems", "x-nullable")  # fmt: skip
_HTTP = re.compile(
    r"accept(-.+)?|content-(type|length|md5|encoding|language|disposition|range|location|digest|transfer-encoding)|contenttype"
    r"|if-((un)?modified-since|(none-)?match|range)|user-?agent|referr?er|host|origin|prefer|(rest-)?range|date|digest|connection"
    r"|cache-control|transfer-encoding|trace|trace-?(parent|state)|sec-.+|(x-)?forwarded(-.+)?|x-http-.+|x-requested-with"
    r"|x-amz-(algorithm|content-.+|credential|date|security-.+|signature|signed-?headers|target|user-agent)"
)
"""Header fields of HTTP and of what stands before a server; in lower case, a hyphen between words."""
_CLIENTS = re.compile(
    r"\b(o?auth\d?|authenticat(e|ion)|authori[sz]ation|secret|signature|passw(or)?d|passphrase|credentials?|nonce|bearer|jwt"
    r"|[cx]srf|correlation|idempoten\w+|sdk|(api|access)-?key"
    r"|x?(api|app|auth|access|client|consumer|refresh|bearer|[cx]srf|user)(key|token|secret)|x?(app|client|request|correlation|trace)id"
    r"|(api|app)version)\b"
    r"|(?<!\bpage-)(?<!\bnext-)(?<!\bsync-)(?<!\bcontinuation-)(?<!\bcursor-)\btoken$"
    r"|(?<!\bsort-)(?<!\bitem-)(?<!\bfile-)(?<!\brow-)(?<!\bobject-)(?<!\brecord-)(?<!\brouting-)(?<!\bpartition-)\bkey$"
    r"|^((auth|user|client|login|api|web)-)?session(-(id|key|token))?$|^[jx]?sessionid$"
    r"|^((api|auth|login|account|proxy)-)?user-?name$"
    r"|^version$|\b(api|app|application|accept|client|protocol)-version$|\b(trace|span)-id$"
    r"|\b(app|api|application|client|consumer|integration)-(id|code)$|(?<!\bpull-)(?<!\bmerge-)\brequest-(id|code)$"
)
"""The same of credentials, versions, and what traces a request, without a leading `x-`. Only whole words count: X-Author is none."""
_SESSION = re.compile(r"\b(session|sid|\w*sess(ion)?id)\b")
_VERSION_TEXT = re.compile(r"\bapi[- ]?version|\bversions? of (\w+ ){0,3}(api|operation|protocol|service)\b", re.I)
_CREDENTIAL = re.compile(r"(?:o?auth|access|api|user)?[-_]?(?:token|key)", re.I)
_VERSION = re.compile(r"api[-_]?version", re.I)
_CREDENTIAL_TEXT = re.compile(r"authenticat|authori[sz]|api[- ]?key|access token|bearer|oauth", re.I)
_READ_AS_NEEDED = "nothing says whether the body is needed, it is read as needed"
_BRACES = re.compile(r"\{((?:[^{}]|\{[^{}]*\})*)\}")
_FORM, _MULTIPART = "application/x-www-form-urlencoded", "multipart/"


@dataclass(frozen=True)
class Parts:
    """What makes the parameters and the answer of an operation, under bounds of their own; and its errors."""

    parameters: Callable[[Expansion], dict[str, Any]]
    answer: Callable[[Expansion], Any]
    errors: tuple[ApiError, ...]


@dataclass(frozen=True)
class _Body:
    schema: Any
    base: str
    kind: str  # its media type
    required: bool
    text: str
    said: bool = True  # the document says whether it is required
    others: tuple[str, ...] = ()  # media types of another schema


def operation_parts(references: References, base: str, route: str, item: dict[str, Any], method: str) -> Parts:
    """An operation of a path item at a route. Raises SpecError where a parameter or its body can't be carried."""
    operation = item[method]
    declared: dict[tuple[Any, Any], tuple[dict[str, Any], str]] = {}
    for raw in [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]:
        parameter, at = references.followed(raw, base)
        if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
            raise SpecError(f"a parameter has no name: {str(parameter)[:80]}")
        declared[parameter["name"], parameter.get("in")] = parameter, at  # an operation's replaces its path's
    body = None
    if operation.get("requestBody"):
        body = _request_body(references, operation["requestBody"], base, method)
    for (_, place), (parameter, at) in declared.items():
        if place == "body":  # Swagger 2
            text = str(parameter.get("description") or "")
            body = _Body(
                parameter.get("schema"),
                at,
                "application/json",
                parameter.get("required", True),
                text,
                "required" in parameter,
            )
    undeclared, renamed = _path_names(route, declared)
    build = _Parameters(list(declared.values()), undeclared, renamed, body, _key_places(references.document))
    answer, errors = _responses(references, operation.get("responses"), base)
    return Parts(build, answer, errors)


def _path_names(route: str, declared: Collection[tuple[Any, Any]]) -> tuple[list[str], list[str]]:
    """The names in a route's braces that nobody declares, and the declared ones that stand there under another name.

    Args:
        declared: names and where they stand.

    Raises:
        SpecError: braces hold no name.
    """
    written: list[str] = []
    for found in _BRACES.finditer(route):
        name = re.split("[:=]", found[1].lstrip("+#./;").rstrip("+*"), maxsplit=1)[0].strip()
        if not name:
            raise SpecError("a part of its path has no name")
        if name not in written and not ("?" in route[: found.start()] and any(name == other for other, _ in declared)):
            written.append(name)
    own = [name for name, place in declared if place == "path"]
    missing, spare = [name for name in written if name not in own], [name for name in own if name not in written]
    letters = {letters_of(name): name for name in spare}
    renamed = [letters[letters_of(name)] for name in missing if letters_of(name) in letters]
    missing = [name for name in missing if letters_of(name) not in letters]
    spare = [name for name in spare if name not in renamed]
    if len(spare) == len(missing):
        return [], renamed + spare
    return missing, renamed


def _key_places(document: Any) -> frozenset[tuple[str, str]]:
    """Where a document's API keys stand: (header, query or cookie; name in lower case)."""
    tree = document if isinstance(document, dict) else {}
    components = tree.get("components")
    newer = components.get("securitySchemes") if isinstance(components, dict) else None
    return frozenset(
        (str(scheme.get("in")), str(scheme.get("name")).lower())
        for schemes in (newer, tree.get("securityDefinitions"))
        if isinstance(schemes, dict)
        for scheme in schemes.values()
        if isinstance(scheme, dict) and scheme.get("type") == "apiKey"
    )


def _clients_own(parameter: dict[str, Any], keys: frozenset[tuple[str, str]]) -> str:
    """What a parameter is that the client sends and nobody asks an assistant for; "" for one of the call's."""
    name, place = parameter["name"], str(parameter.get("in"))
    if (place, name.lower()) in keys:
        return "a credential"
    schema = parameter.get("schema", parameter)
    values = schema.get("enum") if isinstance(schema, dict) else None
    if (
        place in ("header", "query", "cookie")
        and parameter.get("required")
        and isinstance(values, list)
        and len(values) == 1
    ):
        return "always the same"  # a part of the address in all but place
    text = str(parameter.get("description") or "")
    if place in ("header", "cookie") and (not parameter.get("required") or _clients_field(name, place, text)):
        return place
    if place == "query" and _VERSION.fullmatch(name):
        return "the API's version"
    if place == "query" and _CREDENTIAL.fullmatch(name) and _CREDENTIAL_TEXT.search(text):
        return "a credential"
    return ""


def _clients_field(name: str, place: str, text: str) -> bool:
    """True for a header or cookie that a client sends with whatever it calls."""
    words = "-".join(words_of(name).lower().split())
    bare = words.removeprefix("x-")
    if place == "cookie" and _SESSION.search(words):
        return True
    if _HTTP.fullmatch(words) or _CLIENTS.search(bare):
        return True
    return bare.endswith("-version") and _VERSION_TEXT.search(text) is not None


def _rank(kind: str) -> int:
    """The order in which media types are taken: JSON first, then what carries an object as it is, then the rest."""
    kind = kind.split(";")[0].strip().lower()
    orders = (
        kind == "application/json",
        "json" in kind,
        kind in ("*/*", "application/*"),
        kind == _FORM,
        kind.startswith(_MULTIPART),
    )
    return orders.index(True) if True in orders else len(orders)


def _media(content: Any, references: References, base: str) -> tuple[str, dict[str, Any], str] | None:
    """The media type of a `content` that is taken, what it holds, and the file of it; the first of JSON's, if any."""
    if not isinstance(content, dict):
        return None
    for kind in sorted(map(str, content), key=_rank):
        media, at = references.followed(content[kind], base)
        if isinstance(media, dict) and isinstance(media.get("schema"), dict | bool):
            return kind, media, at
    return None


def _others(content: Any, base: str, references: References, taken: tuple[Any, str]) -> tuple[str, ...]:
    """The media types of a `content` in the file `base` whose schema is another one than the one that is taken."""
    others = []
    for kind in content if isinstance(content, dict) else ():
        try:
            media, at = references.followed(content[kind], base)
        except SpecError:
            continue  # what leads nowhere can't be said to be another one
        schema = media.get("schema") if isinstance(media, dict) else None
        if isinstance(schema, dict | bool) and _differ(references, taken, (schema, at)):
            others.append(str(kind))
    return tuple(others)


def _differ(references: References, first: tuple[Any, str], second: tuple[Any, str]) -> bool:
    """True for two schemas, each with its file, that are written differently and lead to different ones."""
    try:
        return first != second and references.followed(*first)[0] != references.followed(*second)[0]
    except SpecError:
        return True


def _request_body(references: References, raw: Any, base: str, method: str) -> _Body:
    """A body; one without a schema where a call may be without it. Raises SpecError."""
    body, at = references.followed(raw, base)
    content = body.get("content") if isinstance(body, dict) else None
    found = _media(content, references, at)
    text = str(body.get("description") or "") if isinstance(body, dict) else ""
    if found is None:
        kinds = ", ".join(map(str, content)) if isinstance(content, dict) and content else "no media type"
        if isinstance(body, dict) and (method == "get" or body.get("required") is False):
            return _Body(None, at, kinds, False, text)
        raise SpecError(f"its request body has no schema ({kinds})")
    kind, media, place = found
    others = _others(content, at, references, (media["schema"], place))
    return _Body(media["schema"], place, kind, body.get("required", True), text, "required" in body, others)


def _is_file(references: References, node: Any, base: str) -> bool:
    """True for a part of a form that is a file, or a list of files."""
    node, base = references.followed(node, base)
    if not isinstance(node, dict):
        return False
    if node.get("type") == "array":
        return _is_file(references, node.get("items"), base)
    media = node.get("contentMediaType")
    return (
        node.get("type") == "file"
        or node.get("format") == "binary"
        or (isinstance(media, str) and not media.startswith("text/"))
    )


@dataclass(frozen=True)
class _Parameters:
    declared: list[tuple[dict[str, Any], str]]
    undeclared: list[str]  # in the path's braces alone
    renamed: list[str]
    body: _Body | None
    keys: frozenset[tuple[str, str]]

    def __call__(self, expansion: Expansion) -> dict[str, Any]:
        properties: dict[str, Any] = {}
        required: list[str] = []
        files, room = 0, expansion.top
        more: dict[str, Any] = {}
        for name in self.renamed:
            expansion.told.add("named otherwise in the path", name)
        for name in self.undeclared:
            if name[0] in "?&":
                expansion.told.add("left out, optional", name[1:])
                continue
            expansion.told.add("in the path and not declared, read as string", name)
            properties[name] = expansion.described(name, {"type": "string"}, name)
            required.append(name)
        for parameter, base in self.declared:
            name, place = parameter["name"], parameter.get("in")
            if place == "body":
                continue
            if own := _clients_own(parameter, self.keys):
                expansion.told.add(f"left out, {own}", name)
                continue
            if place not in ("path", "query", "header", "cookie", "formData"):
                raise SpecError(f"the parameter {name!r} is in {place!r}, which can't be carried")
            if parameter.get("type") == "file" or (place == "formData" and parameter.get("format") == "binary"):
                if parameter.get("required"):
                    raise SpecError(f"{name!r} is an uploaded file")
                files += 1
                expansion.told.add("left out, an uploaded file", name)
                continue
            needed = place == "path" or bool(parameter.get("required"))
            schema = self._parameter(expansion, parameter, base, name, needed)
            if schema is None:
                expansion.told.add("left out, optional", name)
                continue
            if name in properties:
                expansion.told.add(f"the one in {place} of two named alike is {place}_{name}", name)
                name = _free(f"{place}_{name}", properties)
            if place in ("header", "cookie"):
                expansion.told.add(f"sent as a {place}", name)
            properties[name] = expansion.described(name, schema, name)
            if needed:
                required.append(name)
        if self.body is not None:
            more = self._take_body(expansion, self.body, properties, required)
        elif files and not any(
            parameter.get("in") == "formData" and parameter.get("type") != "file" for parameter, _ in self.declared
        ):
            raise SpecError("its body is nothing but an uploaded file")
        dependent = more.get("dependentRequired", {})
        _trim(properties, {*required, *(name for names in dependent.values() for name in names)}, room, expansion)
        if dependent:
            more["dependentRequired"] = {name: others for name, others in dependent.items() if name in properties}
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}

    @staticmethod
    def _parameter(expansion: Expansion, parameter: dict[str, Any], base: str, name: str, needed: bool) -> Any:
        node = parameter.get("schema")
        if node is None and parameter.get("content"):
            found = _media(parameter["content"], expansion.references, base)
            if found is None:
                raise SpecError(f"the content of the parameter {name!r} has no schema")
            kind, media, base = found
            node = media["schema"]
            expansion.told.add(f"sent as {kind}", name)
        if node is None:
            node = {key: parameter[key] for key in INLINE if key in parameter}
        if not node or node is True:
            expansion.told.add("no schema, read as string", name)
            node = {"type": "string"}
        schema = expansion.schema(node, base, name, needed, level=1)
        if not isinstance(schema, dict):
            return schema
        text = str(parameter.get("description") or "").strip()
        if text and not str((node.get("description") if isinstance(node, dict) else "") or "").strip():
            schema = {**schema, "description": text}
        if "examples" not in schema:
            examples = parameter.get("examples")
            if "example" in parameter:
                schema = {**schema, "examples": [parameter["example"]]}
            elif isinstance(examples, dict):
                values = [item["value"] for item in examples.values() if isinstance(item, dict) and "value" in item]
                schema = {**schema, "examples": values} if values else schema
        return schema

    @staticmethod
    def _take_body(
        expansion: Expansion, body: _Body, properties: dict[str, Any], required: list[str]
    ) -> dict[str, Any]:
        """Put a body's properties beside the parameters, or the body itself as one; the choices that hold over all of them."""
        node, base = body.schema, body.base
        for other in body.others:
            expansion.told.add("another form of the body is not carried", other)
        if node is None:
            if body.required:
                raise SpecError("its request body has no schema")
            expansion.told.add("left out, a body that is not described", body.kind)
            return {}
        form = body.kind.lower().startswith(_MULTIPART) or _rank(body.kind) > 4
        if form:
            node, base = _without_files(expansion, node, base)
        expansion.top = max(min(expansion.top, MAX_PARAMETERS - len(properties)), 1)
        schema = expansion.schema(node, base, "")
        if not isinstance(schema, dict):
            raise SpecError("its request body lets no value pass")
        if _rank(body.kind) > 2:
            expansion.told.add(f"the body is sent as {body.kind}")
        whole = flattened(schema) if schema.keys() & {"anyOf", "oneOf"} else schema
        if whole is None or not whole.get("properties") or whole.get("additionalProperties") not in (None, False, True):
            if schema.get("properties") == {} and schema.get("additionalProperties") is False:
                return {}
            name = _free("body" if "body" not in properties else "request_body", properties)
            text = schema.get("description") or body.text.strip()
            if not text and expansion.derive:
                expansion.told.add("descriptions derived", name)
                text = Derived("The request body")
            properties[name] = {**schema, "description": text} if text else schema
            if body.required:
                required.append(name)
                if not body.said:
                    expansion.told.add(_READ_AS_NEEDED, name)
            return {}
        needed = [key for key in whole.get("required") or () if key in whole["properties"]]
        renamed: dict[str, str] = {}
        for key, sub in whole["properties"].items():
            name = key
            if key in properties:
                name = _free(f"body_{key}", {**properties, **whole["properties"]})
                expansion.told.add(f"the one in the body of two named alike is {name}", key)
            renamed[key] = name
            properties[name] = expansion.described(key, sub, name)
            if key in needed and body.required:
                required.append(name)
                if not body.said:
                    expansion.told.add(_READ_AS_NEEDED, name)
        more: dict[str, Any] = {}
        for word in ("anyOf", "oneOf"):
            if word in whole and body.required:
                more[word] = [{"required": [renamed[key] for key in part["required"]]} for part in whole[word]]
            elif word in whole:
                expansion.told.add("what may be chosen in a body that may be left out is not carried")
        dependent: dict[str, list[str]] = {}
        if isinstance(whole.get("dependentRequired"), dict):
            dependent = {
                renamed[key]: [renamed[other] for other in others]
                for key, others in whole["dependentRequired"].items()
                if key in renamed and all(other in renamed for other in others)
            }
        if needed and not body.required:
            for key in needed:
                expansion.told.add("the body may be left out; given a part of it, a call needs", renamed[key])
            for key, name in renamed.items():
                if others := [renamed[other] for other in needed if other != key]:
                    dependent[name] = list(dict.fromkeys([*dependent.get(name, ()), *others]))
        if dependent:
            more["dependentRequired"] = dependent
        for word in ("minProperties", "maxProperties"):
            if word in whole:
                expansion.told.add(f"`{word}` is not carried", "body")
        return more


def _without_files(expansion: Expansion, node: Any, base: str) -> tuple[Any, str]:
    """A form's schema without its optional files. Raises SpecError where it can't be sent without one."""
    references = expansion.references
    if _is_file(references, node, base):
        raise SpecError("its body is nothing but an uploaded file")
    node, base = references.followed(node, base)
    properties = node.get("properties") if isinstance(node, dict) else None
    if not isinstance(properties, dict):
        return node, base
    files = [name for name, sub in properties.items() if _is_file(references, sub, base)]
    for name in files:
        if name in (node.get("required") or ()):
            raise SpecError(f"{name!r} is an uploaded file")
        expansion.told.add("left out, an uploaded file", name)
    if files and len(files) == len(properties):
        raise SpecError("its body is nothing but an uploaded file")
    return {**node, "properties": {name: sub for name, sub in properties.items() if name not in files}}, base


def _trim(properties: dict[str, Any], needed: set[str], room: int, expansion: Expansion) -> None:
    """Leave out parameters that no call needs beyond those that there is room for."""
    for name in [name for name in reversed(properties) if name not in needed]:
        if len(properties) <= room:
            return
        del properties[name]
        expansion.told.add("left out, optional", name)


def _free(name: str, taken: dict[str, Any]) -> str:
    if name in taken:
        raise SpecError(f"{name!r} is there twice, as a parameter and in the request body")
    return name


def _responses(
    references: References, responses: Any, base: str
) -> tuple[Callable[[Expansion], Any], tuple[ApiError, ...]]:
    """What makes the schema of the answer, and the documented errors. Nothing here refuses an operation."""
    good: list[_Response] = []
    errors: list[ApiError] = []
    default: _Response | None = None
    fault = ""
    for status, raw in responses.items() if isinstance(responses, dict) else ():
        try:
            response, at = references.followed(raw, base)
        except SpecError as error:
            fault = fault or str(error)
            continue
        if not isinstance(response, dict):
            continue
        code = str(status)
        if code in ("204", "205"):  # which have no content, whatever is written of it
            good.append(_Response(code, {"description": response.get("description")}, at))
        elif code.startswith("2"):
            good.append(_Response(code, response, at))
        elif code == "default":
            default = _Response(code, response, at)
        elif code[:1] in ("4", "5"):
            errors.append(ApiError(code=code, message=str(response.get("description") or "The request failed.")))
    if default is not None and not good and not fault:
        good.append(default)
    elif default is not None:
        message = str(default.words.get("description") or "The request failed.")
        errors.append(ApiError(code="default", message=message))

    def answer(expansion: Expansion) -> Any:
        for response in good:
            if found := response.schema(references):
                kind, node, at = found
                for other in good:
                    if other is not response and other.differs(references, node, at):
                        expansion.told.add("that of another status is not carried", other.code)
                for word in _others(response.words.get("content"), response.base, references, (node, at)):
                    expansion.told.add("another form of it is not carried", word)
                return _answer_schema(expansion, node, at, response.words, kind)
        for response in good:
            text = str(response.words.get("description") or "").strip()
            if not response.words.get("content"):
                # An answer without a body is an answer too: deleting and stopping things mostly say nothing more.
                return {"type": "null", "description": text or "Nothing is returned."}
            return {"description": text}
        raise SpecError(fault or "the document does not say what a success answers")

    return answer, tuple(errors)


@dataclass(frozen=True)
class _Response:
    code: str
    words: dict[str, Any]
    base: str

    def schema(self, references: References) -> tuple[str, Any, str] | None:
        """Its media type, its schema and the file of it; None where it has none."""
        if isinstance(self.words.get("schema"), dict):  # Swagger 2
            return "application/json", self.words["schema"], self.base
        if found := _media(self.words.get("content"), references, self.base):
            kind, media, at = found
            return kind, media["schema"], at
        return None

    def differs(self, references: References, node: Any, base: str) -> bool:
        """True where it holds another schema than this one, in the file `base`, or none."""
        try:
            found = self.schema(references)
        except SpecError:
            return True
        return found is None or _differ(references, (node, base), found[1:])


def _answer_schema(expansion: Expansion, node: Any, base: str, response: dict[str, Any], kind: str) -> Any:
    if _is_file(expansion.references, node, base):
        expansion.told.add(f"a file ({kind}) given as text")
        return {"type": "string", "description": str(response.get("description") or "A file")}
    schema = expansion.schema(node, base, "")
    text = str(response.get("description") or "").strip()
    return (
        {"description": text, **schema}
        if isinstance(schema, dict) and text and not schema.get("properties")
        else schema
    )
