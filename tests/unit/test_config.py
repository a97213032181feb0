import ast
import datetime
import inspect
import math
from pathlib import Path
from typing import get_args, get_origin

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolace_ray.config import tree as config
from toolace_ray.config.document import document
from toolace_ray.config.load import load, parse
from toolace_ray.config.tree import Config
from toolace_ray.engines.simulated import SimulatedEngine
from toolace_ray.errors import UserError
from toolace_ray.records.kinds import DIALOG_TYPES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("tree", "says"),
    [
        ({"generate": {"qoutas": {"single": 3}}}, "unknown key generate.qoutas; did you mean generate.quotas?"),
        ({"pools": {"a": {"modle": "x"}}}, "did you mean pools.a.model?"),
        ({"zzz": 1}, "unknown key zzz; known: run, ray, pools"),
        ({"generate": {"quotas": {"single": -1}}}, "generate.quotas.single"),
        ({"generate": {"quotas": {"single": "many"}}}, "generate.quotas.single"),
        ({"roles": {"user": "big"}}, "roles.writer is missing"),
        ({"pools": {"a": {}}}, "names pool 'small'"),
        ({"pools": {}}, "pools"),
        ({"verify": {"experts": {"consistency": {"votes": 1}}}}, "larger than votes"),
        ({"generate": {"min_tools": 5, "max_tools": 3}}, "min_tools"),
        ({"pools": {"small": {"engine": "openai"}}}, "url"),
        ({"execution": {"in_flight": 0}}, "execution.in_flight: "),
        ({"execution": {"in_flight": "many"}}, "execution.in_flight: "),
        ({"verify": {"rules": {"repetition": "warning"}}}, "verify.rules.repetition: Input should be 'reject', 'mask'"),
        ({"roles": {"usr": "small"}}, "unknown key roles.usr; did you mean roles.user?"),
        ({"roles": {"user": {"small": "much"}}}, "roles.user.small: Input should be a valid number"),
        (
            {"generate": {"features": {"singel": {}}}},
            "unknown key generate.features.singel; did you mean generate.features.single?",
        ),
        ({"pools": {"str": {"modle": "x"}}}, "unknown key pools.str.modle; did you mean pools.str.model?"),
        ({"pools": {"dict[str,float]": {"cpus": "x"}}}, "pools.dict[str,float].cpus: "),
        ({"sources": {"documents": ["a", 1]}}, "sources.documents.1: "),
        (
            {"generate": {"languages": {"English": math.inf}}},
            "generate.languages.English: Input should be a finite number",
        ),
        ({"evolve": {"temperature": math.nan}}, "evolve.temperature: Input should be a finite number"),
        ({"pools": {"small": {"options": {"x": math.inf}}}}, "pools.small.options: "),
        ({"pools": {"small": {"body": {"day": datetime.date(2026, 1, 1)}}}}, "pools.small.body: "),
        ({"pools": {"small": {"gpus": 3, "tensor_parallel": 2}}}, "tensor_parallel"),
    ],
)
def test_a_wrong_key_is_named_with_the_remedy(tree, says):
    with pytest.raises(UserError, match=r"^config: ") as error:
        parse(tree)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_files_that_are_no_configuration(tmp_path):
    for name, text, says in [
        ("broken.yaml", "a: [1", "broken YAML at line"),
        ("list.yaml", "- 1", "not a list"),
        ("binary.yaml", b"\xff\xfe\x00", "not UTF-8"),
    ]:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(UserError, match=says):
            load(path)
    with pytest.raises(UserError, match="No such file"):
        load(tmp_path / "none.yaml")


def test_overrides(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("run: {seed: 1}")
    changed = load(path, ("generate.quotas.single=50", "run.path=x"))
    assert (changed.generate.quotas.single, changed.run.path, changed.run.seed) == (50, "x", 1)
    for wrong in ("novalue", "run.seed.x=1", "run.seed=[", "run.sed=1"):
        with pytest.raises(UserError):
            load(path, (wrong,))


def test_execution_keys_do_not_change_the_fingerprint():
    base = Config()
    other = parse({"run": {"path": "y"}, "generate": {"quotas": {"single": 99}}, "execution": {"workers": 5}})
    assert other.fingerprint() == base.fingerprint()
    assert parse({"run": {"seed": 8}}).fingerprint() != base.fingerprint()
    assert parse({"generate": {"temperature": 0.1}}).fingerprint() != base.fingerprint()


def test_what_a_run_reserves_is_that_of_the_pools_that_roles_name():
    pools = {
        "b": {"cpus": 2, "replicas": 3, "gpus": 4, "tensor_parallel": 4},
        "a": {"cpus": 0.5},
        "idle": {"cpus": 64, "gpus": 1},
    }
    roles = {**dict.fromkeys(config.ROLES, "b"), "user": {"a": 1, "b": 2}}
    tree = parse({"pools": pools, "roles": roles, "execution": {"workers": 2, "worker_cpus": 0.25}})
    assert list(tree.used_pools) == ["a", "b"]
    assert tree.reserved == (2 * 3 + 0.5 + 2 * 0.25, 12)


def test_the_shipped_configurations_are_valid():
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        load(path)


def test_the_reference_page_is_what_the_code_says():
    assert (ROOT / "docs" / "configuration.md").read_text() == document(), (
        "run: python -m toolace_ray.config.document > docs/configuration.md"
    )


# Readers of keys


SOURCES = [
    ast.parse(path.read_text())
    for folder in ("toolace_ray", "actors", "jobs")
    for path in (ROOT / folder).rglob("*.py")
    if path != Path(config.__file__)
]
# Sections that are handed on as a whole, and the names by which they are taken.
TAKEN_WHOLE = {
    config.QuotaConfig: set(DIALOG_TYPES),  # QuotaConfig.of
    config.SimulatedConfig: set(inspect.signature(SimulatedEngine).parameters),
}


def attributes(node):
    return {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def bound(tree, name, section):
    """What a file calls a section (or each of its entries): variables, loops and parameters that are given it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.NamedExpr | ast.For | ast.comprehension):
            value = node.iter if isinstance(node, ast.For | ast.comprehension) else node.value
            if name in attributes(value):
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))
        elif isinstance(node, ast.arg) and node.annotation and section.__name__ in ast.unparse(node.annotation):
            yield node.arg


def read_keys(name, section):
    """The keys of a section that code reads: `.section.key`, or `.key` of what a file calls the section."""
    (own,) = [node for node in ast.walk(TREE) if isinstance(node, ast.ClassDef) and node.name == section.__name__]
    for method in own.body:
        if isinstance(method, ast.FunctionDef) and "model_validator" not in ast.dump(ast.List(method.decorator_list)):
            yield from attributes(method)
    for tree in SOURCES:
        called = {*bound(tree, name, section), "_config" if section is config.Config else ""}
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                origin = node.value.value if isinstance(node.value, ast.Subscript) else node.value
                if getattr(origin, "attr", getattr(origin, "id", None)) in {name, *called}:
                    yield node.attr


def sections(model, name=""):
    """(name, section) of the whole tree."""
    yield name, model
    for key, info in model.model_fields.items():
        kind = get_args(info.annotation)[1] if get_origin(info.annotation) is dict else info.annotation
        if isinstance(kind, type) and issubclass(kind, config.Section):
            yield from sections(kind, key)


TREE = ast.parse(Path(config.__file__).read_text())


@pytest.mark.parametrize(
    ("name", "section"), list(sections(Config)), ids=lambda value: getattr(value, "__name__", value)
)
def test_every_key_has_a_reader(name, section):
    read = TAKEN_WHOLE.get(section) or set(read_keys(name, section))
    assert [key for key in section.model_fields if key not in read] == []


def test_a_key_that_another_section_has_is_not_read_in_this_one():
    assert "address" in set(read_keys("ray", config.RayConfig))
    assert not {"address", "object_store_gb", "learning_rate"} & set(read_keys("generate", config.GenerateConfig))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from(["run", "pools", "roles", "generate", "seed", "x"]), x, max_size=4), max_leaves=8))  # fmt: skip
def test_any_tree_gives_a_configuration_or_a_user_error(tree):
    if not isinstance(tree, dict):
        return
    said = ""
    try:
        parse(tree)
    except UserError as error:
        said = str(error)
    assert not any(name in said for name in ("[key]", "constrained-", "literal[", "dict["))


def test_one_path_may_stand_for_a_list_of_paths():
    sources = parse({"sources": {"openapi": "specs", "mcp": ["a", "b"], "text_column": "body"}}).sources
    assert (sources.openapi, sources.mcp, sources.text_column) == (("specs",), ("a", "b"), "body")
    with pytest.raises(UserError, match=r"sources\.openapi"):
        parse({"sources": {"openapi": 3}})
    with pytest.raises(UserError, match=r"sources"):
        parse({"sources": "specs"})
