"""A dialog as the target model reads it: token ids in its own chat template, and where the assistant's turns are.

Invariant: the tokens before a turn are those that the model would be given to write it, so that a teacher-forced loss
is the loss of generating it.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from toolace_ray.calls import hermes
from toolace_ray.engines.protocol import BadRequest
from toolace_ray.records.api import Api
from toolace_ray.records.dialog import Dialog, Message

_T = TypeVar("_T")
_Messages = list[dict[str, Any]]
_Tools = list[dict[str, Any]] | None

TOOLS = (
    "\n\nYou may call functions. Their signatures, as JSON within <tools></tools>:\n<tools>\n{tools}\n</tools>\n"
    'For each call write a JSON object within tags: <tool_call>\n{{"name": ..., "arguments": {{...}}}}\n</tool_call>'
)


@dataclass(frozen=True)
class Turn:
    """An assistant's turn: the message's index, and its tokens as a half-open span of the pass they are in."""

    message: int
    start: int
    end: int


@dataclass(frozen=True)
class Pass:
    """Token ids that the model reads in one go, and the turns in them."""

    ids: tuple[int, ...]
    turns: tuple[Turn, ...]


class Template(Protocol):
    """Renders dialogs for one model."""

    def passes(self, dialog: Dialog) -> list[Pass]:
        """The dialog with all of its assistant turns: one pass where the template is prefix-stable, else one a turn."""
        ...

    def prompt(self, dialog: Dialog, message: int) -> tuple[int, ...]:
        """The token ids that ask the model for the message with this index."""
        ...


class ChatTemplate:
    """The chat template of a Hugging Face tokenizer.

    A template that knows nothing of tools gets them in the system prompt, in the Hermes convention.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        probe = [{"role": "user", "content": "x"}]
        tool = {"type": "function", "function": {"name": "probe", "description": "", "parameters": {"type": "object"}}}
        self._takes_tools = self._text(probe, [tool], False) != self._text(probe, None, False)
        self._eos = str(tokenizer.eos_token or "")

    @staticmethod
    def of(folder: str) -> ChatTemplate:
        """The template of a model's folder."""
        from transformers import AutoTokenizer

        return ChatTemplate(AutoTokenizer.from_pretrained(folder))

    def passes(self, dialog: Dialog) -> list[Pass]:
        """See Template.passes. Raises BadRequest where the template takes no such dialog."""
        return self._in_first_form(lambda *rendered: self._passes(dialog, *rendered), dialog)

    def prompt(self, dialog: Dialog, message: int) -> tuple[int, ...]:
        """See Template.prompt. Raises BadRequest where the template takes no such dialog."""

        def ids(messages: _Messages, tools: _Tools, places: list[int]) -> tuple[int, ...]:
            self._text(messages, tools, False)  # the whole decides the form, as it does in `passes`
            return self._ids(self._text(messages[: places[message]], tools, True))

        return self._in_first_form(ids, dialog)

    def _in_first_form(self, work: Callable[[_Messages, _Tools, list[int]], _T], dialog: Dialog) -> _T:
        """What `work` makes of the dialog in the first form that the template takes."""
        from jinja2 import TemplateError

        problem = ""
        for form in FORMS if self._takes_tools else FORMS[1:]:
            try:
                return work(*_in_form(dialog, form))
            except TemplateError as error:  # templates raise for what their model was not made for
                problem = str(error)
        raise BadRequest(f"{dialog.id}: the target's chat template takes no such dialog: {problem}")

    def _passes(self, dialog: Dialog, messages: _Messages, tools: _Tools, places: list[int]) -> list[Pass]:
        whole = self._text(messages, tools, False)
        cuts: list[tuple[int, int, int, str]] = []
        for index, message in enumerate(dialog.messages):
            if message.role == "assistant":
                before, after = self._around(messages, tools, places[index])
                cuts.append((index, len(before), len(after), after))
        if all(whole.startswith(after) for *_, after in cuts):
            return [self._pass(whole[: cuts[-1][2]], [cut[:3] for cut in cuts])] if cuts else []
        return [self._pass(after, [(index, start, end)]) for index, start, end, after in cuts]

    def _around(self, messages: _Messages, tools: _Tools, index: int) -> tuple[str, str]:
        """The text before a turn as the model is given it, and the text with the turn up to its end token."""
        before = self._text(messages[:index], tools, True)
        after = self._text(messages[: index + 1], tools, False)
        content = str(messages[index]["content"] or "")
        if not after.startswith(before):
            # A template that opens a thought for the model and leaves it out of what is over: the turn begins where the two
            # part, at the end of a tag or a line.
            shared = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
            before = after[: max(after.rfind(">", 0, shared), after.rfind("\n", 0, shared)) + 1]
        elif before == self._text(messages[:index], tools, False) and (at := after.find(content, len(before))) > 0:
            before = after[:at]  # one that ignores the generation prompt: its header is none of the model's words
        end = after.rfind(self._eos, len(before)) if self._eos else -1
        return before, after[: end + len(self._eos)] if end >= 0 else after.rstrip()

    def _pass(self, text: str, cuts: list[tuple[int, int, int]]) -> Pass:
        """Tokens of the whole text, cut by their offsets: pieces by themselves get other tokens in some tokenizers."""
        encoding = self._tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        starts = [start for start, _ in encoding["offset_mapping"]]
        turns = [Turn(index, bisect_left(starts, start), bisect_left(starts, end)) for index, start, end in cuts]
        return Pass(tuple(encoding["input_ids"]), tuple(turns))

    def _text(self, messages: Sequence[dict[str, Any]], tools: list[dict[str, Any]] | None, open_turn: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                list(messages), tools=tools, add_generation_prompt=open_turn, tokenize=False
            )
        )

    def _ids(self, text: str) -> tuple[int, ...]:
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if text else ()


FORMS = ("native", "words", "merged")
"""How a dialog is given to a template: with tools and calls of its own; all in words; in words, without a system prompt and
with one message after another of the same role joined."""


def _in_form(dialog: Dialog, form: str) -> tuple[_Messages, _Tools, list[int]]:
    """Messages in a form, the tools where they stand beside them, and the place of each of the dialog's messages."""
    if form == "native":
        tools = [{"type": "function", "function": api.tool()} for api in dialog.tools]
        return [_native(message) for message in dialog.messages], tools, list(range(len(dialog.messages)))
    written = in_words(dialog.messages, dialog.tools)
    shift = len(written) - len(dialog.messages)  # 1 where a system prompt had to be put before
    places = [index + shift for index in range(len(dialog.messages))]
    if form == "words":
        return [dict(message) for message in written], None, places
    merged: _Messages = []
    merged_places: list[int] = []
    for message in written:
        role = "user" if message["role"] == "system" else message["role"]
        if merged and merged[-1]["role"] == role == "user":
            merged[-1] = {"role": role, "content": f"{merged[-1]['content']}\n\n{message['content']}"}
        else:
            merged.append({"role": role, "content": message["content"]})
        merged_places.append(len(merged) - 1)
    return merged, None, [merged_places[place] for place in places]


def _native(message: Message) -> dict[str, Any]:
    fields: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        fields["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        fields |= {"name": message.name, "tool_call_id": message.tool_call_id}
    return fields


def in_words(messages: Sequence[Message], tools: Sequence[Api]) -> list[dict[str, str]]:
    """Messages of system, user and assistant alone: tools in the system prompt, calls as text (Hermes convention).

    The system prompt must come first; results stand in a user message each.
    """
    signatures = "\n".join(
        json.dumps({"type": "function", "function": api.tool()}, ensure_ascii=False) for api in tools
    )
    written = [_worded(message) for message in messages]
    if not written or written[0]["role"] != "system":
        written.insert(0, {"role": "system", "content": ""})
    written[0] = {**written[0], "content": (written[0]["content"] + TOOLS.format(tools=signatures)).strip()}
    return written


def _worded(message: Message) -> dict[str, str]:
    """A message for a template of system, user and assistant alone."""
    if message.role == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message.content}\n</tool_response>"}
    content = hermes.render(message.tool_calls) if message.tool_calls else message.content
    return {"role": message.role, "content": content}


class WordTemplate:
    """A stand-in for engines without a tokenizer (simulated): a token is a word, its id the word's hash."""

    def passes(self, dialog: Dialog) -> list[Pass]:
        """See Template.passes."""
        ids: list[int] = _word_ids(" ".join(json.dumps(api.tool()) for api in dialog.tools))
        turns = []
        for index, message in enumerate(dialog.messages):
            start = len(ids)
            ids += _word_ids(hermes.render(message.tool_calls) or message.content)
            if message.role == "assistant":
                turns.append(Turn(index, start, len(ids)))
        return [Pass(tuple(ids), tuple(turns))]

    def prompt(self, dialog: Dialog, message: int) -> tuple[int, ...]:
        """See Template.prompt."""
        passes = self.passes(dialog.model_copy(update={"messages": dialog.messages[:message]}))
        return passes[0].ids


def _word_ids(text: str) -> list[int]:
    return [1 + sum(ord(character) * 31**i for i, character in enumerate(word[:8])) % 99991 for word in text.split()]
