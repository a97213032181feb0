"""Published sets that are in no trainer's format, as rows that `toolace verify` reads.

    pip download --no-deps bfcl-eval nvidia-tooltalk nestful-wrapper && unzip -o '*.whl'
    python -m benchmarks.public bfcl bfcl_eval/data bfcl.jsonl
    python -m benchmarks.public tooltalk . tooltalk.jsonl
    python -m benchmarks.public complexfuncbench data_v1/complexfuncbench complexfuncbench.jsonl
    toolace verify --input bfcl.jsonl --format xlam

BFCL: of the alternatives that an answer allows the first is taken; one that may be left out is. ToolTalk: its tools are read from its
Python package, which is imported; the session's token is its executor's to add, and left out. ComplexFuncBench: `$var1.id$` is put as
the response has it, and 100 dialogs are drawn whose results all have at most 30,000 characters. These rows are for looking at the
rules, never for training. The last line is one JSON object: how many rows were written.
"""

import argparse
import importlib
import json
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")  # fmt: skip
DRAWN, LONGEST, SEED = 100, 30_000, 7
Row = dict[str, Any]


def first(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments out of lists of alternatives; objects inside have lists of alternatives of their own."""
    found: dict[str, Any] = {}
    for name, choices in arguments.items():
        value = choices[0] if isinstance(choices, list) and choices else choices
        if value != "":
            found[name] = first(value) if isinstance(value, dict) else value
    return found


def bfcl(data: Path) -> Iterator[Row]:
    """BFCL's questions and answers."""
    for category in CATEGORIES:
        name = f"BFCL_v4_{category}.json"
        questions = (data / name).read_text().splitlines()
        answers = (data / "possible_answer" / name).read_text().splitlines()
        for asked, told in zip(map(json.loads, questions), map(json.loads, answers), strict=True):
            said = " ".join(message["content"] for turn in asked["question"] for message in turn)
            calls = [
                {"name": name, "arguments": first(arguments)}
                for item in told["ground_truth"]
                for name, arguments in item.items()
            ]
            yield {"id": asked["id"], "query": said, "tools": asked["function"], "answers": calls}


def step(number: int, name: str, arguments: dict[str, Any], result: Any) -> list[Row]:
    """A call and its result as two messages."""
    function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
    call = {"id": f"call_{number}", "type": "function", "function": function}
    content = json.dumps(result, ensure_ascii=False)
    return [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": content},
    ]


def tooltalk(data: Path) -> Iterator[Row]:
    """ToolTalk's dialogs, without what the user says after the last answer."""
    sys.path.insert(0, str(data))
    apis = importlib.import_module("tooltalk.apis")
    suites = {suite.name: suite.apis for suite in apis.ALL_SUITES}
    for path in sorted(path for folder in ("easy", "tooltalk") for path in data.glob(f"tooltalk/data/{folder}/*.json")):
        dialog = json.loads(path.read_text())
        known = {api.__name__: api for suite in dialog["suites_used"] for api in suites[suite]}
        user = {key: value for key, value in (dialog.get("user") or {}).items() if key != "password"}
        system = f"Today: {dialog['metadata']['timestamp']}. {json.dumps(dialog['metadata'])} {json.dumps(user)}"
        turns: list[Row] = [{"role": "system", "content": system}]
        for turn in dialog["conversation"]:
            for call in turn.get("apis") or ():
                name, given = call["request"]["api_name"], call["request"]["parameters"]
                wanted = getattr(apis, name).parameters
                arguments = {key: value for key, value in given.items() if key in wanted or key != "session_token"}
                result = {"error": call["exception"]} if call.get("exception") else call["response"]
                turns += step(len(turns), name, arguments, result)
            turns.append({"role": turn["role"], "content": turn["text"]})
        while turns[-1]["role"] == "user":
            turns.pop()
        tools = [{"name": name, "description": api.description, "parameters": api.parameters} for name, api in known.items()]  # fmt: skip
        yield {"id": dialog["name"], "messages": turns, "tools": tools}


def filled(value: Any, results: dict[str, Any]) -> Any:
    """A value with `$var1.products[0].id$` put as the labelled result has it."""
    if isinstance(value, dict):
        return {key: filled(item, results) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, results) for item in value]
    match = re.fullmatch(r"\$(\w+)(.*)\$", value) if isinstance(value, str) else None
    if match is None:
        return value
    found = results[match[1]]
    for name, index in re.findall(r"\.([^.\[\]]+)|\[(\d+)\]", match[2]):
        if isinstance(found, list):
            found = found[int(index or (name if name.isdigit() else 0))]
            if index or name.isdigit():
                continue
        found = found[name]
    return found


def complexfuncbench(data: Path) -> Iterator[Row]:
    """Dialogs of ComplexFuncBench as the NESTFUL wrapper has them: a request and calls that use each other's results."""
    kept = ("type", "description", "required")
    tools = {
        api["name"]: {
            "name": api["name"],
            "description": api["description"],
            "parameters": {
                name: {key: value for key, value in item.items() if key in kept or (key == "enum" and value)}
                for name, item in api["query_parameters"].items()
            },
        }
        for api in json.loads((data / "complexfuncbench-spec.json").read_text())
    }
    dialogs = json.loads((data / "complexfuncbench-data.json").read_text())
    random.Random(SEED).shuffle(dialogs)
    written = 0
    for dialog in dialogs:
        turns: list[Row] = [{"role": "user", "content": dialog["input"].strip()}]
        results: dict[str, Any] = {}
        for call in dialog["output"]:
            turns += step(len(turns), call["name"], filled(call["arguments"], results), call["response"])
            results[call["label"]] = call["response"]
        turns.pop()  # the row ends with a call
        if written < DRAWN and all(len(turn["content"] or "") <= LONGEST for turn in turns):
            written += 1
            names = dict.fromkeys([*(call["name"] for call in dialog["output"]), *list(tools)[:3]])
            yield {"messages": turns, "tools": [tools[name] for name in names]}


SETS = {"bfcl": bfcl, "tooltalk": tooltalk, "complexfuncbench": complexfuncbench}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("set", choices=SETS)
    parser.add_argument("data", type=Path, help="the folder of the set's files")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    written = 0
    with options.output.open("w") as file:
        for row in SETS[options.set](options.data):
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            written += 1
    print(json.dumps({"rows": written}))


if __name__ == "__main__":
    main()
