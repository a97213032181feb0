"""A dialog as the target model reads it: token ids in its own chat template, and where the assistant's turns are.

Invariant: the tokens before a turn are those that the model would be given to write it, so that a teacher-forced loss
is the loss of generating it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from toolace_ray.calls import hermes
from toolace_ray.schema import Api, Dialog, Message

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
        self._native = self._text(probe, [tool], False) != self._text(probe, None, False)
        self._eos = str(tokenizer.eos_token or "")

    @staticmethod
    def of(folder: str) -> ChatTemplate:
        """The template of a model's folder."""
        from transformers import AutoTokenizer

        return ChatTemplate(AutoTokenizer.from_pretrained(folder))

    def passes(self, dialog: Dialog) -> list[Pass]:
        """See Template.passes."""
        messages, tools = self._prepared(dialog)
        shift = len(messages) - len(dialog.messages)  # 1 where a system prompt had to be put before
        whole = self._text(messages, tools, False)
        cuts: list[tuple[int, int, int, str]] = []
        for index, message in enumerate(dialog.messages):
            if message.role == "assistant":
                before, after = self._around(messages, tools, index + shift)
                cuts.append((index, len(before), len(after), after))
        if all(whole.startswith(after) for *_, after in cuts):
            return [self._pass(whole[: cuts[-1][2]], [cut[:3] for cut in cuts])] if cuts else []
        return [self._pass(after, [(index, start, end)]) for index, start, end, after in cuts]

    def prompt(self, dialog: Dialog, message: int) -> tuple[int, ...]:
        """See Template.prompt."""
        messages, tools = self._prepared(dialog)
        shift = len(messages) - len(dialog.messages)
        return tuple(self._ids(self._text(messages[: message + shift], tools, True)))

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def _around(
        self, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, index: int
    ) -> tuple[str, str]:
        """The text before a turn as the model is given it, and the text with the turn up to its end token."""
        before = self._text(messages[:index], tools, True)
        after = self._text(messages[: index + 1], tools, False)
        if not after.startswith(before):
            # A template that writes more into a finished turn than into an open one: the turn begins where they part.
            shared = next((i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), 0)
            before = after[:shared]
        end = after.rfind(self._eos, len(before)) if self._eos else -1
        return before, after[: end + len(self._eos)] if end >= 0 else after.rstrip()

    def _pass(self, text: str, cuts: list[tuple[int, int, int]]) -> Pass:
        # Each part is tokenised by itself: no token reaches over the border of what is given and what is written.
        ids: list[int] = []
        turns: list[Turn] = []
        at = 0
        for index, start, end in cuts:
            ids += self._ids(text[at:start])
            begin = len(ids)
            ids += self._ids(text[start:end])
            turns.append(Turn(index, begin, len(ids)))
            at = end
        return Pass(tuple(ids), tuple(turns))

    def _prepared(self, dialog: Dialog) -> tuple[list[dict[str, Any]], list[dict[str, Any]] | None]:
        tools = [{"type": "function", "function": api.tool()} for api in dialog.tools]
        if self._native:
            return [_native(message) for message in dialog.messages], tools
        return [dict(message) for message in in_words(dialog.messages, dialog.tools)], None

    def _text(self, messages: Sequence[dict[str, Any]], tools: list[dict[str, Any]] | None, open_turn: bool) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                list(messages), tools=tools, add_generation_prompt=open_turn, tokenize=False
            )
        )

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"]) if text else []


def _native(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        shown["tool_calls"] = [
            {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": call.arguments}}
            for call in message.tool_calls
        ]
    if message.role == "tool":
        shown |= {"name": message.name, "tool_call_id": message.tool_call_id}
    return shown


def in_words(messages: Sequence[Message], tools: Sequence[Api]) -> list[dict[str, str]]:
    """Messages of system, user and assistant alone: tools in the system prompt, calls as text (Hermes convention).

    The system prompt must come first; results stand in a user message each.
    """
    shown = "\n".join(json.dumps({"type": "function", "function": api.tool()}, ensure_ascii=False) for api in tools)
    written = [_plain(message) for message in messages]
    if not written or written[0]["role"] != "system":
        written.insert(0, {"role": "system", "content": ""})
    written[0] = {**written[0], "content": (written[0]["content"] + TOOLS.format(tools=shown)).strip()}
    return written


def _plain(message: Message) -> dict[str, str]:
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
        found = self.passes(dialog.model_copy(update={"messages": dialog.messages[:message]}))
        return found[0].ids

    def decode(self, ids: Sequence[int]) -> str:
        """Words can't be had back from their hashes."""
        return ""


def _word_ids(text: str) -> list[int]:
    return [1 + sum(ord(character) * 31**i for i, character in enumerate(word[:8])) % 99991 for word in text.split()]
