"""What strangers wrote reaches the terminal as text: no escape sequence of theirs is obeyed."""

import io

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.command import guarded
from jobs.progress import Progress
from jobs.summary import render
from jobs.verify import Outcome, table
from tests.material import good_dialogs
from toolace_ray.engines.protocol import EngineError
from toolace_ray.errors import RunStopped, UserError
from toolace_ray.text.tidy import printable

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\x9b31m"


def is_safe(text):
    return all(c.isprintable() or c in "\n\t" for c in text)


@given(st.text(max_size=40))
def test_what_is_printable_stays_and_the_rest_is_written_out(text):
    shown = printable(text)
    assert is_safe(shown)
    assert printable(shown) == shown
    assert shown == text or not is_safe(text)


def test_a_dialog_is_shown_without_what_a_terminal_would_obey():
    dialog = good_dialogs()["single"]
    tool = dialog.tools[0]
    hostile = tool.model_copy(update={"parameters": {"type": "object", "properties": {HOSTILE: {"type": "string"}}}})
    dialog = dialog.model_copy(update={"tools": (hostile,), "meta": {**dialog.meta, "domain": [HOSTILE]}})
    bold, plain = click.style("\0", bold=True).split("\0")  # a heading's own
    shown = render(dialog).replace(bold, "", 1).replace(plain, "", 1)
    assert is_safe(shown)
    assert shown.count("owned") == 2


def test_what_a_job_says_is_shown_without_what_a_terminal_would_obey():
    stream = io.StringIO()
    Progress(stream).say(f"3 operations were not imported; first: {HOSTILE}")
    assert is_safe(stream.getvalue())
    assert "owned" in stream.getvalue()


def test_what_is_found_in_a_set_is_shown_without_what_a_terminal_would_obey():
    outcome = Outcome(f"{HOSTILE}.jsonl", "openai", accepted=1, rejected=1, notes=[HOSTILE], output=f"/tmp/{HOSTILE}")
    outcome.by_rule["enum"] = 1
    outcome.translated[HOSTILE] = 1
    outcome.examples["enum"] = {"file": HOSTILE, "row": 1, "id": "", "turn": None, "evidence": HOSTILE}
    assert is_safe(table(outcome, 400))
    assert table(outcome, 400).count("owned") == 7


@pytest.mark.parametrize("kind", [UserError, RunStopped, EngineError])
def test_an_error_is_said_without_what_a_terminal_would_obey(kind, capsys):
    @guarded
    def command():
        raise kind(HOSTILE)

    with pytest.raises(SystemExit):
        command()
    said = capsys.readouterr().err
    assert is_safe(said)
    assert "owned" in said
