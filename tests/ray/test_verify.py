"""`toolace verify` as its user meets it: the command, real Ray, files of every kind."""

import json
import subprocess
import sys
from pathlib import Path

from tests.defects import base, spoilt
from toolace_ray.corpus.formats.openai import write as to_openai

ROOT = Path(__file__).parents[2]
ROWS = [json.dumps(to_openai(dialog)) for dialog in base().values()]


def verify(environment, *arguments):
    command = [sys.executable, "-m", "jobs.cli", "verify", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)


def test_a_set_with_every_kind_of_row(tmp_path, environment):
    wrong = json.dumps(to_openai(spoilt("A unknown API", base()["single"])[0]))
    deep = '{"messages": ' + "[" * 10_000 + "]" * 10_000 + "}"
    private = ROWS[0].replace("Lima", "lena.vogt@posteo.de")
    lines = [*ROWS, "", wrong, "{no json", "x" * 10_000_000, deep, ROWS[0], "[1, 2]", '"text"', "", private]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(lines))
    done = verify(environment, "--input", path, "--format", "openai", "--output", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert (told["accepted"], told["rejected"], told["rows"]) == (len(ROWS) + 1, 7, len(ROWS) + 8)
    assert told["by_rule"] == {"record": 5, "known_api": 1, "results_match_calls": 1, "near_duplicate": 1}
    assert told["warnings"] == {"personal_data": 1}
    assert sum(told["by_type"].values()) == told["accepted"]
    assert (tmp_path / "out/accepted.jsonl").read_text().splitlines() == [*ROWS, private]
    ledger = list(map(json.loads, (tmp_path / "out/rejected.jsonl").read_text().splitlines()))
    assert [row["row"] for row in ledger] == [len(ROWS) + more for more in (2, 3, 4, 5, 6, 7, 8)]
    assert ledger[0]["rule"] == "known_api"
    assert ledger[0]["sample"] == wrong
    assert "10000001 bytes" in ledger[2]["evidence"]
    assert "deeper than" in ledger[3]["evidence"]
    assert {row["file"] for row in ledger} == {"set.jsonl"}
    assert "the same as set.jsonl:1" in ledger[4]["evidence"]
    assert told["examples"]["known_api"]["file"] == "set.jsonl"
    assert told["examples"]["known_api"]["row"] == len(ROWS) + 2


def test_a_row_of_a_folder_is_named_by_its_file(tmp_path, environment):
    """Empty lines at the end of a portion of a megabyte count, and each file begins anew."""
    folder = tmp_path / "set"
    (folder / "sub").mkdir(parents=True)
    distinct = [json.dumps({**json.loads(row), "id": f"{number}"}) for number, row in enumerate(ROWS)]
    (folder / "a.jsonl").write_text(
        f"{distinct[0]}\n" + "\n" * (1 << 20) + f"{distinct[1]}\n{{no json\n{distinct[0]}\n"
    )
    (folder / "sub/b.json").write_text(f"[{distinct[2]}, 7, {distinct[1]}]")
    done = verify(environment, "--input", folder, "--format", "openai", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr[-2000:]
    ledger = list(map(json.loads, (tmp_path / "out/rejected.jsonl").read_text().splitlines()))
    assert [(row["file"], row["row"], row["rule"]) for row in ledger] == [
        ("a.jsonl", (1 << 20) + 3, "record"),
        ("a.jsonl", (1 << 20) + 4, "near_duplicate"),
        ("sub/b.json", 2, "record"),
        ("sub/b.json", 3, "near_duplicate"),
    ]
    assert ledger[1]["evidence"] == "the same as a.jsonl:1"
    assert ledger[3]["evidence"] == f"the same as a.jsonl:{(1 << 20) + 2}"
    assert f"a.jsonl:{(1 << 20) + 3}: no JSON" in done.stdout


def test_many_portions_come_out_in_the_order_of_the_set(tmp_path, environment):
    path = tmp_path / "set.jsonl"
    lines = [json.dumps({**json.loads(ROWS[number % len(ROWS)]), "id": f"d{number}"}) for number in range(800)]
    path.write_text("\n".join(lines) + "\n")
    assert path.stat().st_size > 3 << 20
    done = verify(
        environment, "--input", path, "--format", "openai", "--output", tmp_path / "out", "--set", "verify.duplicates=0"
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "100.0% can be trained on: 800 of 800 rows" in done.stdout
    assert (tmp_path / "out/accepted.jsonl").read_text() == path.read_text()


def test_what_a_user_gets_wrong_is_one_sentence(tmp_path, environment):
    (tmp_path / "set.jsonl").write_text(ROWS[0])
    (tmp_path / "set.csv").write_text("a,b")
    (tmp_path / "rules.py").write_text("def broken(:")
    for arguments, said in (
        (("--input", tmp_path / "none.jsonl"), "there is no such file"),
        (("--input", tmp_path / "set.csv"), "convert it to JSON lines"),
        (("--input", tmp_path / "set.jsonl", "--set", "verify.rules.speling=off"), "no rule is named speling"),
        (("--input", tmp_path / "set.jsonl", "--set", "verify.rules.repetition={times: many}"), "'many' is no int"),
        (("--input", tmp_path / "set.jsonl", "--set", f"verify.modules=[{tmp_path}/rules.py]"), "cannot be imported"),
        (("--input", tmp_path / "set.jsonl", "--output", tmp_path / "set.csv" / "x"), "cannot write there"),
    ):
        done = verify(environment, *arguments, "--format", "openai")
        assert done.returncode == 2, (arguments, done.stderr[-500:])
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_users_own_rule_masks_a_turn(tmp_path, environment):
    (tmp_path / "mine.py").write_text(
        "from toolace_ray.dlv.registry import rule\n\n"
        "@rule('dialog', 'mask')\n"
        "def shouting(view, *, mark='!'):\n"
        "    '''No answer shouts.'''\n"
        "    for turn, message in view.of('assistant'):\n"
        "        if message.content.endswith(mark):\n"
        "            yield turn, 'shouts'\n"
    )
    path = tmp_path / "set.jsonl"
    path.write_text(ROWS[5] + "\n")
    settings = ("--set", f"verify.modules=[{tmp_path}/mine.py]", "--set", "verify.rules.shouting={mark: 'degrees.'}")
    done = verify(environment, "--input", path, "--format", "openai", "--output", tmp_path / "out", "--json", *settings)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout)
    assert (told["accepted"], told["warnings"]) == (1, {"shouting": 1})
    (row,) = map(json.loads, (tmp_path / "out/accepted.jsonl").read_text().splitlines())
    assert [
        message.get("weight") for message in row["messages"] if message["role"] == "assistant" and message["content"]
    ] == [0, 0]
