"""Type hints of a Python file as JSON Schemas: built-in and `typing` types, and the file's own classes and aliases.

Invariants: nothing is imported or evaluated but literals; a type that is not known here is a reason, never a guess; of a
class all that a call must give is known, or the class is a reason; a class that holds itself is a reference to a definition,
which Expansion cuts; what a file's types cost to read has a limit, within which it does not matter which is read first.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from toolace_ray.records.json import canonical_json, check_json
from toolace_ray.schemas.dialects import json_type
from toolace_ray.tss.python_docs import Docstrings
from toolace_ray.tss.references import SpecError
from toolace_ray.tss.spec_unions import NULL
from toolace_ray.tss.told import Told

MAX_DEPTH = 24  # of types in types, and of classes above a class
MAX_PARTS = 1024  # of one type
MAX_FILE_PARTS = 1 << 18  # of all types of a file: one that writes them all out has no room for more
MAX_KEYS = 32  # of a dict, that are written out
MAX_BRANCHES = 8  # in which a name is bound; of more there is no more to say
MAX_HINT = 2000  # characters of a type that is written as text
_TEXT, _NUMBER, _COUNT = {"type": "string"}, {"type": "number"}, {"type": "integer"}
_PLAIN: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("str", "Text", "AnyStr", "LiteralString", "StrictStr"), _TEXT),
    **dict.fromkeys(("int", "StrictInt"), _COUNT),
    **dict.fromkeys(("float", "StrictFloat"), _NUMBER),
    **{key: {"type": "boolean"} for key in ("bool", "StrictBool")},
    **{key: {"type": "null"} for key in ("None", "NoneType")},
    **{key: {} for key in ("Any", "object")},
    "PositiveInt": {"type": "integer", "exclusiveMinimum": 0},
    "NonNegativeInt": {"type": "integer", "minimum": 0},
    "PositiveFloat": {"type": "number", "exclusiveMinimum": 0},
    "NonNegativeFloat": {"type": "number", "minimum": 0},
}
_WRITTEN: dict[str, dict[str, Any]] = {
    "date": {"type": "string", "format": "date"},
    "datetime": {"type": "string", "format": "date-time"},
    "time": {"type": "string", "format": "time"},
    "timedelta": {"type": "string", "format": "duration"},
    "UUID": {"type": "string", "format": "uuid"},
    "EmailStr": {"type": "string", "format": "email"},
    **{key: {"type": "string", "format": "uri"} for key in ("AnyUrl", "HttpUrl", "AnyHttpUrl")},
    **dict.fromkeys(("Path", "PurePath", "PosixPath"), _TEXT),
    "Decimal": _NUMBER,
}
_SENT_AS = "types that JSON has no word for, as what is sent for them"
_LISTS = {"list", "List", "Sequence", "MutableSequence", "Iterable", "Collection", "deque", "Deque"}
_STREAMS = {"Iterator", "Generator", "AsyncIterator", "AsyncIterable", "AsyncGenerator"}
_SETS = {"set", "Set", "frozenset", "FrozenSet", "AbstractSet", "MutableSet"}
_DICTS = {"dict", "Dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict", "DefaultDict"}
_INNER = {"Required", "NotRequired", "ReadOnly", "Final", "InitVar", "Awaitable"}
_PARTS: dict[str, Collection[int]] = {
    **dict.fromkeys((*_LISTS, *_SETS, *_INNER, "Optional", "Iterator", "AsyncIterator", "AsyncIterable"), (1,)),
    **dict.fromkeys(_DICTS, (2,)),
    **dict.fromkeys(("Generator", "AsyncGenerator"), (1, 2, 3)),
    "Coroutine": (3,),
}
"""How many types stand in a type's brackets, where that is fixed; of a tuple there may be none."""
_MODULES = {
    "typing", "typing_extensions", "collections", "builtins", "types", "datetime", "uuid", "decimal", "pathlib", "pydantic",
    "annotated_types", "enum", "dataclasses", "abc", "attr", "attrs", "msgspec", "annotated_doc", "pydantic_settings", "sqlmodel",
}  # fmt: skip
_FIELD_CALLS = {"Field", "field", "ib", "attrib"}
_MODELS = {"BaseModel", "BaseSettings", "SQLModel"}
_FIELD_CLASSES = {*_MODELS, "NamedTuple", "Struct"}
_ATTRS = {"define", "frozen", "mutable"}
_FIELD_DECORATORS = {"dataclass", *_ATTRS}
_WITHOUT_FIELDS = {*_FIELD_CLASSES, "TypedDict", "object", "Generic", "Protocol", "ABC", "Hashable"}
"""Classes that bring no fields of their own to those below them."""
_RENAMING = ("alias_generator", "rename", "tag", "tag_field")
_FORBIDDING = ("forbid_unknown_fields", "closed")
_ENUMS = {"Enum", "IntEnum", "StrEnum"}
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
}
_LENGTHS = {"min_length": "min", "max_length": "max", "min_items": "min", "max_items": "max"}
_LIMIT_CALLS = {
    "Ge": ("ge",), "Gt": ("gt",), "Le": ("le",), "Lt": ("lt",), "MultipleOf": ("multiple_of",), "MinLen": ("min_length",),
    "MaxLen": ("max_length",), "Len": ("min_length", "max_length"), "Interval": (), "StringConstraints": (),
    "Doc": ("description",), "Field": (),
}  # fmt: skip
"""What stands in Annotated -> the names of its positional arguments."""
_NOT_OF_VALUES = {
    "default", "default_factory", "factory", "title", "alias", "validation_alias", "name", "init", "repr", "compare", "hash", "kw_only", "frozen",
    "strict", "validate_default", "exclude",
}  # fmt: skip  # keywords of a field that say nothing of what a value may be
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
NOTHING: Any = object()


class UnknownType(SpecError):
    """Why a type is no schema, as what comes after "it has"."""


class TooMuch(UnknownType):
    """The same of a type that is read no further: what is left of it says nothing of the whole."""


Branch = tuple[tuple[int, int], ...]
"""The branches that a statement stands in: line of `if`, `try` ..., and which of its branches."""


def statements(body: Iterable[ast.stmt]) -> Iterator[tuple[ast.stmt, Branch]]:
    """The statements of a body and of the branches in it, in the order of the file."""
    no_branch: Branch = ()
    stack = [(node, no_branch) for node in body][::-1]
    while stack:
        node, branch = stack.pop()
        parts = _branches(node)
        if parts is None:
            yield node, branch
            continue
        for number, part in parts[::-1]:
            inner = branch if number is None else (*branch, (node.lineno, number))
            stack += [(item, inner) for item in part][::-1]


def _branches(node: ast.stmt) -> list[tuple[int | None, list[ast.stmt]]] | None:
    """The bodies of a compound statement and which branch each is, None for one that is always run; None for a statement that
    is none, and for functions and classes."""
    if isinstance(node, ast.If):
        bodies = [node.body]
        while len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):  # `elif`: a chain of them is no deeper
            node = node.orelse[0]
            bodies.append(node.body)
        return list(enumerate([*bodies, node.orelse]))
    if isinstance(node, ast.Try | ast.TryStar):
        handlers = [(number, handler.body) for number, handler in enumerate(node.handlers, 1)]
        return [(0, node.body), *handlers, (0, node.orelse), (None, node.finalbody)]
    if isinstance(node, ast.With):
        return [(None, node.body)]
    if isinstance(node, ast.For | ast.While):
        return [(0, node.body), (1, node.orelse)]
    return [(number, case.body) for number, case in enumerate(node.cases)] if isinstance(node, ast.Match) else None


@dataclass
class Bound:
    """What a name stands for where its file was run: the last statement that binds or deletes it, several where that depends on
    branches; and the functions and classes that had the name before."""

    last: list[tuple[ast.stmt, Branch]] = field(default_factory=list)
    before: list[ast.stmt] = field(default_factory=list)


def bindings(body: Iterable[ast.stmt]) -> dict[str, Bound]:
    """The names that a body binds, in the order of the file."""
    found: dict[str, Bound] = {}
    for node, branch in statements(body):
        for name in _names(node):
            bound = found.setdefault(name, Bound())
            kept: list[tuple[ast.stmt, Branch]] = []
            gone: list[tuple[ast.stmt, Branch]] = []
            for item in bound.last:
                (gone if item[1][: len(branch)] == branch else kept).append(item)
            bound.before += [item for item, _ in gone if isinstance(item, _DEFINITIONS)]
            bound.last = [*kept[:MAX_BRANCHES], (node, branch)]
    return found


def _names(node: ast.stmt) -> list[str]:
    """The names that a statement binds or deletes."""
    if isinstance(node, _DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in node.names]
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign | ast.Delete):
        targets = node.targets
    elif isinstance(node, ast.AugAssign) or (isinstance(node, ast.AnnAssign) and node.value is not None):
        targets = [node.target]
    elif type(node).__name__ == "TypeAlias":  # Python 3.12's `type X = ...`
        return [node.name.id]  # type: ignore[attr-defined]
    inner = (item for target in targets for item in ast.walk(target))
    return [item.id for item in inner if isinstance(item, ast.Name) and not isinstance(item.ctx, ast.Load)]


def _imported(node: ast.Import | ast.ImportFrom, name: str) -> str:
    """What a name stands for by an import, in full: `datetime.date` for `d` by `from datetime import date as d`."""
    alias = next(item for item in node.names if (item.asname or item.name.split(".")[0]) == name)
    if isinstance(node, ast.ImportFrom):
        return f"{'.' * node.level}{node.module or ''}.{alias.name}"
    return alias.name if alias.asname else alias.name.split(".")[0]


def _assigned(node: ast.Assign | ast.AnnAssign, name: str) -> ast.expr | None:
    """What an assignment gives a name; None where it is one of several names in a target."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return node.value if any(isinstance(target, ast.Name) and target.id == name for target in targets) else None


def last_name(node: ast.AST) -> str:
    """The last name of a decorator, base or call: `dataclass` of `@dataclasses.dataclass(frozen=True)`."""
    node = node.func if isinstance(node, ast.Call) else node
    node = node.value if isinstance(node, ast.Subscript) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@dataclass
class Hint:
    """What a type hint says: a schema, whose description it may hold, and the classes of the file that it refers to.

    `default` is that of a field in it, NOTHING where it has none; `optional` is true where there is one that is no literal, too.
    """

    schema: dict[str, Any]
    classes: dict[str, None] = field(default_factory=dict)
    default: Any = NOTHING
    optional: bool = False


@dataclass
class _Fields:
    """The fields of a class and of those above it, or why there are none that a call could give; what the class is."""

    text: str = ""
    properties: dict[str, Any] = field(default_factory=dict)
    required: dict[str, None] = field(default_factory=dict)
    closed: bool = False
    classes: dict[str, None] = field(default_factory=dict)
    told: Told = field(default_factory=Told)
    fault: str = ""


class Types:
    """The types that a file's hints may name, and what reads the file's docstrings.

    Args:
        tree: the file.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.docstrings = Docstrings()
        self._left = MAX_FILE_PARTS
        self._classes: dict[str, ast.ClassDef] = {}
        self._aliases: dict[str, ast.expr] = {}
        self._imports: dict[str, str] = {}
        self._kinds: dict[str, str] = {}
        self._above: dict[str, tuple[list[str], set[str]]] = {}
        self._fields: dict[str, _Fields] = {}
        self._members: dict[str, dict[str, Any] | str] = {}  # or why there are none
        self._written: dict[ast.AST, str] = {}
        self._unclear: set[str] = set()  # names of the file that are none of these
        for name, bound in bindings(tree.body).items():
            self._note(name, [node for node, _ in bound.last])

    def _note(self, name: str, nodes: list[ast.stmt]) -> None:
        """Take what a name stands for; of several branches the import of a known module, which the others stand in for."""
        imports = [_imported(node, name) for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        if known := [word for word in imports if word.split(".")[0] in _MODULES]:
            self._imports[name] = known[0]
        elif len(nodes) > 1:
            self._unclear.add(name)
        elif imports:
            self._imports[name] = imports[0]
        elif isinstance(node := nodes[0], ast.ClassDef):
            self._classes[name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign) and (value := _assigned(node, name)) is not None:
            self._aliases[name] = value
        elif type(node).__name__ == "TypeAlias":  # Python 3.12's `type X = ...`
            self._aliases[name] = node.value  # type: ignore[attr-defined]
        else:
            self._unclear.add(name)

    def hint(self, node: ast.expr, told: Told, place: str) -> Hint:
        """What a type hint says; what is translated is noted at `place`. Raises UnknownType."""
        return _Hints(self, told, place).read(node)

    def count(self, parts: int = 1) -> None:
        """Count parts of types that are read. Raises TooMuch past MAX_FILE_PARTS."""
        self._left -= parts
        if self._left < 0:
            raise TooMuch(f"a type of a file whose types have more than {MAX_FILE_PARTS} parts")

    def written(self, node: ast.AST) -> str:
        """An expression as people write it, the beginning of a long one."""
        if node not in self._written:
            try:
                self._written[node] = ast.unparse(node)[:60]
            except (RecursionError, ValueError):
                self._written[node] = type(node).__name__
        return self._written[node]

    def take_field(self, hint: Hint, call: ast.Call, told: Told, place: str) -> None:
        """Take over what `Field(default, ge=0, description="...")` says of a value."""
        _Hints(self, told, place).take(hint, call, ())

    def hint_of_text(self, text: str, told: Told, place: str) -> Hint:
        """The same of a type as docstrings write it: `list of str`, `int, optional`, `{'a', 'b'}`. Raises UnknownType."""
        text = text.split(", optional")[0].split(", default")[0].strip()
        containers: list[str] = []
        while len(words := text.split(" of ", 1)) == 2 and words[0] in ("list", "sequence", "array", "set", "tuple"):
            containers.append(words[0])
            text = words[1]
        if len(containers) > MAX_DEPTH:
            raise TooMuch("a type of too many parts")
        hint = self._hint_of_word(text, told, place)
        for container in containers[::-1]:
            hint.schema = {"type": "array", **({"items": hint.schema} if hint.schema else {})}
            if container == "set":
                hint.schema["uniqueItems"] = True
            if container in ("set", "tuple"):
                told.add(_SENT_AS, f"{place} ({container})")
        return hint

    def _hint_of_word(self, text: str, told: Told, place: str) -> Hint:
        known = json_type(text)
        if known is not None and text not in self._classes and text not in ("set", "tuple"):
            return Hint({"type": known})
        choices = text if text.startswith("{") and text.endswith("}") else ""
        node = _expression(f"Literal[{choices[1:-1]}]" if choices else text.replace(" or ", " | "))
        if node is None:
            raise UnknownType(f"the type {text[:60]!r}, which is not read")
        return self.hint(node, told, place)

    def definitions(self, names: Iterable[str], told: Told) -> dict[str, Any]:
        """The schemas of classes and of those they refer to, by name. Raises UnknownType."""
        found: dict[str, Any] = {}
        waiting = list(names)
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            self.count()
            fields = self._fields_of(name)
            if fields.fault:
                raise UnknownType(fields.fault)
            found[name] = {"type": "object", "properties": fields.properties, "required": [*fields.required]}
            if fields.closed:
                found[name]["additionalProperties"] = False
            if fields.text:
                found[name]["description"] = fields.text
            told.take(fields.told)
            waiting += fields.classes
        return found

    def unpacked(self, node: ast.expr | None) -> ast.expr | None:
        """What `Unpack[X]` unpacks, None for another type."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = _expression(node.value)
        if isinstance(node, ast.Starred):
            return node.value
        return node.slice if isinstance(node, ast.Subscript) and self.known(node.value) == "Unpack" else None

    def value(self, node: ast.expr) -> Any:
        """What a literal or a member of one of the file's enums stands for in JSON, NOTHING for anything else."""
        if isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            try:
                return self.members(owner).get(node.attr, NOTHING) if self.kind(owner) == "enum" else NOTHING
            except UnknownType:
                return NOTHING
        try:
            return check_json(_plain(ast.literal_eval(node)))
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            return NOTHING

    def kind(self, name: str) -> str:
        """`enum`, `typed dict` or `fields` (of a dataclass, a pydantic model ...) of one of the file's classes, else ""."""
        if name not in self._kinds:
            self._kinds[name] = self._kind(name)
        return self._kinds[name]

    def _kind(self, name: str) -> str:
        if name not in self._classes:
            return ""
        classes, known = self._lineage(name)
        if known & _ENUMS:
            return "enum"
        if "TypedDict" in known:
            return "typed dict"
        return "fields" if known & _FIELD_CLASSES or any(map(self._decorator, classes)) else ""

    def _lineage(self, name: str) -> tuple[list[str], set[str]]:
        """A class and those of the file above it, and the known ones above these. Raises TooMuch."""
        if name not in self._above:
            classes, known = {name: None}, set()
            waiting = [name]
            for word in waiting:  # which grows by the classes above
                self.count()
                for base in self._classes[word].bases:
                    local, other = self.base(base)
                    known.add(other)
                    if local and local not in classes:
                        classes[local] = None
                        waiting.append(local)
            self._above[name] = [*classes], known
        return self._above[name]

    def base(self, node: ast.expr) -> tuple[str, str]:
        """The class of the file that stands above another, or the known one; neither for one that is not read."""
        node = node.value if isinstance(node, ast.Subscript) else node
        if isinstance(node, ast.Name) and (node.id in self._classes or node.id in self._aliases):
            return (node.id, "") if node.id in self._classes else ("", "")
        return "", self.known(node)

    def _decorator(self, name: str) -> str:
        """The decorator that makes a class one of fields."""
        words = [self.called(item) for item in self._classes[name].decorator_list]
        return next((word for word in words if word in _FIELD_DECORATORS), "")

    def called(self, node: ast.expr) -> str:
        """What a call or decorator calls, where it is known; see known."""
        return self.known(node.func if isinstance(node, ast.Call) else node)

    def members(self, name: str) -> dict[str, Any]:
        """The members of an enum with their values. Raises UnknownType."""
        if name not in self._members:
            try:
                self._members[name] = self._read_members(name)
            except UnknownType as error:
                self._members[name] = str(error)
        members = self._members[name]
        if isinstance(members, str):
            raise UnknownType(members)
        return members

    def _read_members(self, name: str) -> dict[str, Any]:
        classes, known = self._lineage(name)
        body = [item for item, _ in statements(self._classes[name].body)]
        own_auto = any(isinstance(item, ast.FunctionDef) and item.name == "_generate_next_value_" for item in body)
        members: dict[str, Any] = {}
        last: Any = 0
        for item in body:
            for key, node in _given(item):
                if (key.startswith("_") and key.endswith("_")) or key.startswith("__"):
                    continue
                value: Any = NOTHING
                if not isinstance(node, ast.Call):
                    value = self.value(node)
                elif self.called(node) == "auto" and not own_auto and "" not in known and len(classes) == 1:
                    value = key.lower() if "StrEnum" in known else last + 1 if isinstance(last, int) else NOTHING
                # What `class A(str, Enum)` makes of a number is another value.
                kept = isinstance(value, str) or not known & {"str", "StrEnum"}
                kept = kept and (isinstance(value, int) or not known & {"int", "IntEnum"})
                if not kept or not (value is None or isinstance(value, str | int | float)):
                    raise UnknownType(f"the enum {name!r}, whose {key} is no plain value")
                members[key] = last = value
        if not members:
            raise UnknownType(f"the enum {name!r}, which has no members")
        return members

    def known(self, node: ast.expr) -> str:
        """The name of a type of Python, `typing` or the other modules that are known here; "" for any other."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute) and len(parts) < 8:
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name) or node.id in self._unclear:
            return ""
        parts = [*self._imports.get(node.id, node.id).split("."), *parts[::-1]]
        return parts[-1] if len(parts) == 1 or parts[0] in _MODULES else ""

    def local(self, node: ast.expr) -> tuple[str, ast.expr | None]:
        """The class of the file that is meant, and what an alias of the file stands for."""
        if not isinstance(node, ast.Name):
            return "", None
        return (node.id, None) if node.id in self._classes else ("", self._aliases.get(node.id))

    # Classes ---------------------------------------------------------------------------------------------------------

    def _fields_of(self, name: str) -> _Fields:
        if name not in self._fields:
            # What a class that stands above itself meets there.
            self._fields[name] = _Fields(fault=f"the class {name!r}, which stands above itself")
            fields = _Fields()
            try:
                self._read_fields(name, fields)
            except UnknownType as error:
                fields.fault = str(error)
            self._fields[name] = fields
        return self._fields[name]

    def _read_fields(self, name: str, fields: _Fields) -> None:
        classes, known = self._lineage(name)
        if len(classes) > MAX_DEPTH:
            raise UnknownType(f"the class {name!r}, with more than {MAX_DEPTH} classes above it")
        node = self._classes[name]
        for base in node.bases[::-1]:  # of two the first one holds
            self._take_above(name, base, fields)
        docs = self.docstrings.read(ast.get_docstring(node), ())
        fields.text = docs.description.split("\n\n")[0]
        if not (self._decorator(name) or known & (_FIELD_CLASSES | {"TypedDict"})):
            return  # what stands in it is no field
        if known & {"NamedTuple"} and not any(self.base(base)[1] == "NamedTuple" for base in node.bases):
            return
        self._configure(name, fields)
        body = [item for item, _ in statements(node.body)]
        for item, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                text = _text_after(after) or docs.parameters.get(item.target.id, ("", ""))[0]
                self._field(name, item, item.target.id, text, fields)
            elif isinstance(item, ast.Assign):
                self._without_type(name, item, fields)
            elif isinstance(item, ast.FunctionDef) and item.name == "__init__":
                fields.told.add("an __init__ of its own, not looked at", name)

    def _take_above(self, name: str, base: ast.expr, fields: _Fields) -> None:
        """Take the fields of a class above, those of which are not read being none that can be guessed."""
        word, known = self.base(base)
        if known in _WITHOUT_FIELDS:
            return
        if not word or word == name:
            raise UnknownType(f"the class {name!r}, whose base {self.written(base)!r} is not read")
        if self._lineage(name)[1] & _MODELS and not self.kind(word):
            body = self._classes[word].body
            if any(isinstance(item, ast.AnnAssign) for item, _ in statements(body)):
                raise UnknownType(f"the class {name!r}, whose base {word!r} has fields and is no model")
        above = self._fields_of(word)
        if above.fault:
            raise UnknownType(above.fault)
        self.count(len(above.properties))
        for key in above.properties:
            fields.required.pop(key, None)
        fields.properties.update(above.properties)
        fields.required.update(above.required)
        fields.closed |= above.closed
        fields.classes.update(above.classes)
        fields.told.take(above.told)

    def _configure(self, name: str, fields: _Fields) -> None:
        """Take what the keywords and the configuration of a class say of all its fields."""
        node = self._classes[name]
        words = {word.arg or "**": word.value for word in node.keywords}
        for item, _ in statements(node.body):
            if isinstance(item, ast.ClassDef) and item.name == "Config":
                words |= dict(pair for inner, _ in statements(item.body) for pair in _given(inner))
            given = dict(_given(item)).get("model_config")
            if isinstance(given, ast.Call) and not given.args:
                words |= {word.arg or "**": word.value for word in given.keywords}
            elif isinstance(given, ast.Dict):
                keys = [self.value(key) if key is not None else "**" for key in given.keys]
                words |= {str(key): value for key, value in zip(keys, given.values, strict=True)}
            elif given is not None:
                words["**"] = given
        if "**" in words:
            fields.told.add("a configuration that is not read", name)
        by_name = any(
            word in words and self.value(words[word]) is True for word in ("populate_by_name", "validate_by_name")
        )
        for word in _RENAMING:
            if word in words and self.value(words[word]) not in (None, False) and not by_name:
                raise UnknownType(f"the class {name!r}, whose {word} changes what its fields are called")
        if "extra" in words:
            fields.closed = "forbid" in (last_name(words["extra"]), self.value(words["extra"]))
        fields.closed |= any(word in words and self.value(words[word]) is True for word in _FORBIDDING)

    def _without_type(self, name: str, item: ast.Assign, fields: _Fields) -> None:
        """Note what a class gives a value and no type: a field that says so has one that is not known."""
        for key, value in _given(item):
            if isinstance(value, ast.Call) and self.called(value) in _FIELD_CALLS:
                raise UnknownType(f"the class {name!r}, whose {key} has no type")
            if not key.startswith("_") and key != "model_config" and self._lineage(name)[1] & _MODELS:
                fields.told.add("left out, without a type", f"{name}.{key}")

    def _field(self, name: str, item: ast.AnnAssign, key: str, text: str, fields: _Fields) -> None:
        told, place, model = fields.told, f"{name}.{key}", bool(self._lineage(name)[1] & _MODELS)
        marks = self._marks(item.annotation)
        if marks & {"ClassVar", "KW_ONLY"} or (model and key.startswith("_")):
            return
        words = item.value if isinstance(item.value, ast.Call) and self.called(item.value) in _FIELD_CALLS else None
        said = {word.arg: word.value for word in words.keywords} if words is not None else {}
        if "init" in said and self.value(said["init"]) is False:
            return
        value = None if words is not None or (model and _is_open(item.value)) else item.value
        optional = value is not None
        if self.kind(name) == "typed dict":
            total = not any(
                word.arg == "total" and self.value(word.value) is False for word in self._classes[name].keywords
            )
            optional = "NotRequired" in marks or (not total and "Required" not in marks)
        if key.startswith("_") and (optional or (words is not None and _has_default(words))):
            told.add("left out, optional and private", place)
            return
        try:
            hint = self.hint(item.annotation, told, place)
            if words is not None:
                self.take_field(hint, words, told, place)
            called = self._called_from_outside(name, key, said)
        except UnknownType as error:
            if not (optional or (words is not None and _has_default(words))):
                raise UnknownType(f"the class {name!r}, whose {key} has {error}") from error
            told.add("left out, optional and its type is not read", place)
            return
        if value is not None:
            hint.default = self.value(value)
            if hint.default is NOTHING:
                told.add("defaults that are no plain values", place)
        if text and "description" not in hint.schema:
            hint.schema["description"] = text
        if hint.default is not NOTHING:
            hint.schema["default"] = hint.default
        fields.properties[called] = hint.schema
        fields.required.pop(called, None)
        if not (optional or hint.optional):
            fields.required[called] = None
        fields.classes.update(hint.classes)

    def _marks(self, node: ast.expr) -> set[str]:
        """What is said of a field around its type: ClassVar, NotRequired ..."""
        marks = set()
        while True:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node = _expression(node.value) or ast.Constant(None)
            marks.add(self.known(node.value if isinstance(node, ast.Subscript) else node))
            if not isinstance(node, ast.Subscript) or self.known(node.value) not in (*_INNER, "Annotated", "ClassVar"):
                return marks
            node = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice

    def _called_from_outside(self, name: str, key: str, said: dict[str | None, ast.expr]) -> str:
        """The name by which a field is given."""
        for word in ("validation_alias", "alias", "name"):
            if word in said and self.value(said[word]) is not None:
                if not isinstance(alias := self.value(said[word]), str):
                    raise UnknownType(f"a {word} that is no text")
                return alias
        return key.lstrip("_") if self._decorator(name) in _ATTRS else key


def _is_open(node: ast.expr | None) -> bool:
    """Whether a default is `...`, which says that there is none."""
    return isinstance(node, ast.Constant) and node.value is ...


def _given(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """The names that an assignment gives values, each with its own where a tuple is taken apart."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if value is None:
        return
    values = value.elts if isinstance(value, ast.Tuple | ast.List) else []
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple | ast.List):
            fits = len(values) == len(target.elts)
            fits = fits and not any(isinstance(item, ast.Starred) for item in (*target.elts, *values))
            for number, item in enumerate(target.elts):
                yield last_name(item) or "*", values[number] if fits else ast.Constant(...)


def _text_after(node: ast.stmt | None) -> str:
    """A text that stands after a field, which is its description."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""


def _has_default(call: ast.Call) -> bool:
    return (bool(call.args) and not _is_open(call.args[0])) or any(
        word.arg in ("default", "default_factory", "factory") and not _is_open(word.value) for word in call.keywords
    )


def _plain(value: Any) -> Any:
    """A literal with lists for tuples; what JSON has no word for stays, for check_json to refuse."""
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, dict) else value


def _expression(text: str) -> ast.expr | None:
    """A text as an expression, None where it is none."""
    if len(text) > MAX_HINT:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


class _Hints:
    """Reads one type hint.

    Args:
        types: what its names may mean.
        told: where what is translated is noted.
        place: of what it is the type.
    """

    def __init__(self, types: Types, told: Told, place: str) -> None:
        self._types = types
        self._told = told
        self._place = place
        self._left = MAX_PARTS
        self._hint = Hint({})
        self._whole: ast.expr | None = None  # the type itself, beneath the names and texts that stand for it

    def read(self, node: ast.expr) -> Hint:
        """See Types.hint."""
        self._whole = node
        self._hint.schema = self._schema(node, 0)
        return self._hint

    def _schema(self, node: ast.expr, depth: int) -> dict[str, Any]:
        self._left -= 1
        if self._left < 0 or depth > MAX_DEPTH:
            raise TooMuch("a type of too many parts")
        self._types.count()
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            self._types.count(min(len(node.value), MAX_HINT) // 8)  # what an alias stands for is parsed again and again
            inner = _expression(node.value)
            if inner is None:
                raise UnknownType(f"the type {node.value[:60]!r}, which is not read")
            return self._named(node, inner, depth)
        if isinstance(node, ast.Constant) and node.value is None:
            return dict(NULL)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            return self._union(_joined(node), depth)
        if isinstance(node, ast.Subscript):
            return self._of(node, depth)
        name, alias = self._types.local(node)
        if name:
            return self._class(name)
        if alias is not None:
            return self._alias(node, alias, depth)
        known = self._types.known(node)
        if known in _PLAIN:
            return dict(_PLAIN[known])
        if known in _WRITTEN:
            self._written(known)
            return dict(_WRITTEN[known])
        if known in _DICTS:
            return {"type": "object"}
        if known in _LISTS | _SETS | _STREAMS or known in ("tuple", "Tuple"):
            return self._list(known, None, depth)
        raise UnknownType(f"the type {self._types.written(node)!r}, which is not read")

    def _written(self, known: str) -> None:
        self._told.add(_SENT_AS, f"{self._place} ({known})")

    def _of(self, node: ast.Subscript, depth: int) -> dict[str, Any]:
        """A type with others in brackets."""
        parts = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        name, alias = self._types.local(node.value)
        if name:
            return self._class(name)
        if alias is not None:
            return self._alias(node.value, alias, depth)
        known = self._types.known(node.value)
        many = len(parts)
        if many not in _PARTS.get(known, (many,)) or not (parts or known in ("tuple", "Tuple")):
            raise UnknownType(f"the type {self._types.written(node)!r}, which is not read")
        if known == "Annotated":
            return self._annotated(node, parts, depth)
        if known == "Literal":
            return self._literal(parts)
        if known == "Optional":
            return self._union([*parts, ast.Constant(None)], depth)
        if known == "Union":
            return self._union(parts, depth)
        if known in _INNER or known == "Coroutine":
            return self._named(node, parts[-1], depth)
        if known in _DICTS:
            return self._dict(parts, depth)
        if known in ("tuple", "Tuple"):
            return self._tuple(parts, depth)
        if known in _LISTS | _SETS | _STREAMS:
            return self._list(known, parts[0], depth)
        raise UnknownType(f"the type {self._types.written(node)!r}, which is not read")

    def _list(self, known: str, item: ast.expr | None, depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "array"}
        if item is not None and (items := self._schema(item, depth + 1)):
            schema["items"] = items
        if known in _SETS:
            schema["uniqueItems"] = True
        if known not in _LISTS:
            self._written(known)
        return schema

    def _tuple(self, parts: list[ast.expr], depth: int) -> dict[str, Any]:
        if len(parts) == 2 and isinstance(parts[1], ast.Constant) and parts[1].value is ...:
            return self._list("tuple", parts[0], depth)
        self._written("tuple")
        items = self._union(parts, depth, whole=True) if parts else {}
        return {"type": "array", "minItems": len(parts), "maxItems": len(parts), **({"items": items} if items else {})}

    def _dict(self, parts: list[ast.expr], depth: int) -> dict[str, Any]:
        schema: dict[str, Any] = {"type": "object"}
        keys = self._schema(parts[0], depth + 1)
        if keys.get("type") == "string" and len(keys.get("enum", ())) in range(1, MAX_KEYS):
            properties = {key: self._schema(parts[1], depth + 1) for key in keys["enum"]}
            return {**schema, "properties": properties, "additionalProperties": False}
        if keys.get("type") != "string":
            self._told.add("keys that are texts in JSON", f"{self._place} ({self._types.written(parts[0])})")
        elif len(keys) > 1:
            self._told.add("of keys, not carried", f"{self._place} ({self._types.written(parts[0])})")
        if values := self._schema(parts[1], depth + 1):
            schema["additionalProperties"] = values
        return schema

    def _union(self, parts: list[ast.expr], depth: int, whole: bool = False) -> dict[str, Any]:
        """What any of some types lets pass; unless it must be `whole`, those that are not read are left out where others than
        null remain."""
        schemas: dict[str, dict[str, Any]] = {}
        faults: list[tuple[ast.expr, UnknownType]] = []
        for part in parts:
            try:
                schema = self._schema(part, depth + 1)
            except TooMuch:
                raise
            except UnknownType as error:
                faults.append((part, error))
                continue
            if not schema:
                return {}
            schemas.setdefault(canonical_json(schema), schema)
        choices = [*schemas.values()]
        if faults and (whole or choices in ([], [NULL])):
            raise faults[0][1]
        for part, _ in faults:
            self._told.add("alternatives left out, not read", f"{self._place} ({self._types.written(part)})")
        return choices[0] if len(choices) == 1 else {"anyOf": choices}

    def _literal(self, parts: list[ast.expr]) -> dict[str, Any]:
        self._types.count(len(parts))
        values = [self._types.value(part) for part in parts]
        if not all(value is None or isinstance(value, str | int | float) for value in values):
            raise UnknownType("a Literal of what is no plain value")
        return _choice(values)

    def _class(self, name: str) -> dict[str, Any]:
        kind = self._types.kind(name)
        if kind == "enum":
            members = self._types.members(name)
            self._types.count(len(members))
            return _choice(list(members.values()))
        if not kind:
            raise UnknownType(f"the class {name!r}, which is no dataclass, TypedDict, pydantic model or Enum")
        self._hint.classes[name] = None
        return {"$ref": f"#/$defs/{name}"}

    def _alias(self, node: ast.expr, alias: ast.expr, depth: int) -> dict[str, Any]:
        if not isinstance(alias, ast.Call):
            return self._named(node, alias, depth)
        word = last_name(alias)
        if word == "NewType" and len(alias.args) == 2:
            return self._schema(alias.args[1], depth + 1)
        if word == "TypeVar":
            self._told.add("a type variable stands for any value", self._place)
            return {}
        raise UnknownType(f"the type {self._types.written(node)!r}, which is not read")

    def _named(self, node: ast.expr, meant: ast.expr, depth: int) -> dict[str, Any]:
        """The schema of a type that another stands for."""
        self._whole = meant if self._whole is node else self._whole
        return self._schema(meant, depth + 1)

    def _annotated(self, node: ast.expr, parts: list[ast.expr], depth: int) -> dict[str, Any]:
        whole = self._whole is node
        hint = Hint(self._named(node, parts[0], depth))
        for extra in parts[1:]:
            text = self._types.value(extra)
            if isinstance(text, str):
                hint.schema.setdefault("description", text.strip())
            elif isinstance(extra, ast.Call) and (word := self._types.called(extra)) in _LIMIT_CALLS:
                self.take(hint, extra, _LIMIT_CALLS[word])
            else:
                self._told.add("of Annotated, not carried", f"{self._place} ({self._types.written(extra)})")
        if whole and hint.optional:
            self._hint.optional, self._hint.default = True, hint.default
        elif hint.optional:
            self._told.add("of a field, not carried", f"{self._place} (default)")
        return hint.schema

    def take(self, hint: Hint, call: ast.Call, names: tuple[str, ...]) -> None:
        """See Types.take_field. `names` are those of the call's positional arguments."""
        given = [(word.arg or "**", word.value) for word in call.keywords]
        if names:
            given += list(zip(names, call.args, strict=False))
        elif call.args and not _is_open(call.args[0]):
            given.append(("default", call.args[0]))
        for word, node in given:
            value = self._types.value(node)
            if word in ("default", "default_factory", "factory") and not _is_open(node):
                hint.optional = True
                if word != "default" or value is NOTHING:
                    self._told.add("defaults that are no plain values", self._place)
                if word == "default":
                    hint.default = value
            if word in _NOT_OF_VALUES:
                continue
            if not _limited(hint.schema, word, value):
                self._told.add("of a field, not carried", f"{self._place} ({word[:40]})")


def _joined(node: ast.expr) -> list[ast.expr]:
    """The parts of `a | b | c`."""
    parts: list[ast.expr] = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        parts.append(node.right)
        node = node.left
    return [node, *parts[::-1]]


def _choice(values: list[Any]) -> dict[str, Any]:
    kinds = {type(value) for value in values}
    names = {str: "string", int: "integer", float: "number", bool: "boolean"}
    distinct = {(type(value), value): value for value in values}  # to Python, True is 1 and 1 is 1.0
    schema: dict[str, Any] = {"enum": [*distinct.values()]}
    kind = names.get(kinds.pop()) if len(kinds) == 1 else None
    return {"type": kind, **schema} if kind else schema


def _limited(schema: dict[str, Any], word: str, value: Any) -> bool:
    """Put what a field says into a schema, of Optional[X] into that of X; False where that can't be."""
    if word == "description" and isinstance(value, str):
        schema["description"] = value.strip()
        return True
    if word == "examples" and isinstance(value, list):
        schema["examples"] = value
        return True
    branches = [item for item in schema.get("anyOf", ()) if item != NULL]
    target = branches[0] if len(branches) == 1 else schema
    kind = target.get("type")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if word in _BOUNDS and number and kind in ("integer", "number"):
        target[_BOUNDS[word]] = value
    elif word in _LENGTHS and number and kind in ("string", "array"):
        target[_LENGTHS[word] + ("Length" if kind == "string" else "Items")] = value
    elif word in ("pattern", "regex") and isinstance(value, str) and kind == "string":
        target["pattern"] = value
    else:
        return False
    return True
