"""What `toolace verify` says of BFCL's own questions and answers: writes them as xLAM rows.

    pip download --no-deps bfcl-eval && unzip bfcl_eval-*.whl
    python -m benchmarks.public bfcl_eval/data bfcl.jsonl
    toolace verify --input bfcl.jsonl --format xlam

Of the alternatives that an answer allows the first is taken; one that may be left out is. These rows are for looking at the
rules, never for training. The last line is one JSON object: how many rows were written.
"""

import argparse
import json
from pathlib import Path
from typing import Any

CATEGORIES = ("simple_python", "multiple", "parallel", "parallel_multiple", "live_simple", "live_multiple", "live_parallel", "live_parallel_multiple")  # fmt: skip


def first(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments out of lists of alternatives; objects inside have lists of alternatives of their own."""
    found: dict[str, Any] = {}
    for name, choices in arguments.items():
        value = choices[0] if isinstance(choices, list) and choices else choices
        if value != "":
            found[name] = first(value) if isinstance(value, dict) else value
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path, help="bfcl_eval/data")
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    written = 0
    with options.output.open("w") as file:
        for category in CATEGORIES:
            name = f"BFCL_v4_{category}.json"
            questions = (options.data / name).read_text().splitlines()
            answers = (options.data / "possible_answer" / name).read_text().splitlines()
            for asked, told in zip(map(json.loads, questions), map(json.loads, answers), strict=True):
                said = " ".join(message["content"] for turn in asked["question"] for message in turn)
                calls = [
                    {"name": name, "arguments": first(arguments)}
                    for item in told["ground_truth"]
                    for name, arguments in item.items()
                ]
                row = {"id": asked["id"], "query": said, "tools": asked["function"], "answers": calls}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                written += 1
    print(json.dumps({"rows": written}))


if __name__ == "__main__":
    main()
