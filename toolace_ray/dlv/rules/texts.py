"""Rules on what is said: the third row of the paper's Table 4, dialog correctness. Each message for itself."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from rapidfuzz import fuzz

from toolace_ray.dlv.registry import rule
from toolace_ray.dlv.view import Finding, View
from toolace_ray.records.api import Api
from toolace_ray.schemas.walk import leaves
from toolace_ray.text import memo
from toolace_ray.text.language import language, language_counts, script_counts

_LEAK = re.compile(
    r"\b(few-shot|system prompt|as an ai language model|blueprint|fact sheet|gold call|JSON schema|the wish is)\b|^(Request|"
    r"Results|Functions|Missing|Calls|Answer|Wanted|Known):",
    re.IGNORECASE | re.MULTILINE,
)
# In strangers' dialogs: the marks of chat templates and talk of the prompt itself.
_MARKS = re.compile(
    r"<\|[a-z_]+\|>|\[/?INST\]|<</?SYS>>|</?s>|</?think(?:ing)?>|\{\{ ?[a-z_.]{1,40} ?\}\}|^### ?(Instruction|Response|System)\b|\b(my|the) (system|hidden|initial) prompt\b"
    r"|\bas an? (?:ai|large|ai large) language model\b|^(system|assistant|human): ",
    re.IGNORECASE | re.MULTILINE,
)
# Searched for before the patterns, which are slow on the many texts that hold none of them.
_LEAK_SIGNS = (
    ":",
    "few-shot",
    "prompt",
    "language model",
    "blueprint",
    "fact sheet",
    "gold call",
    "json schema",
    "the wish",
)
_MARK_SIGNS = ("<", "[", "{{", "###", "prompt", "language model", "system:", "assistant:", "human:")
_ENDING = ".!?…。！？)\"'”’:]}*`"
_LISTED = re.compile(r"(?:^|\n)\s*(?:[-*•|>#]|\d+[.)]).*$|https?://\S+$|\S+@\S+$")
CODE = re.compile(r"```.*?(?:```|$)|`[^`\n]*`", re.DOTALL)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^“”]*”|«[^«»]*»|`[^`]*`|(?<!\w)'[^'\n]{2,200}'(?!\w)")
# A unit behind a number or a degree sign, which every script writes in the same letters: 9 °C, 30 km/h, 5kg.
_UNIT = re.compile(r"(?<=[\d°%])[\s\u202f]?°?[A-Za-zµμΩ]{1,4}[²³]?(?:[/·][A-Za-z]{1,4}[²³]?)?(?![A-Za-z])|°\s?[CFK]\b")
_UNSPACED = {"CJK", "THAI", "LAO", "KHMER", "MYANMAR"}
_RUN = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]+")
_FOREIGN = re.compile(r"(?<![A-Za-z])[A-Za-z]+(?:[ ,'’-]+[A-Za-z]+){5,}")
_LANGUAGES = re.compile(
    r"\b(?:english|german|french|spanish|italian|portuguese|dutch|russian|chinese|mandarin|cantonese|japanese|korean|arabic|hindi|turkish"
    r"|polish|swedish|danish|finnish|norwegian|greek|hebrew|czech|ukrainian|vietnamese|thai|indonesian|latin|translat\w+|language)\b",
    re.IGNORECASE,
)
_LEAKED_WORDS = 8  # of the system prompt, in a row


@rule("dialog")
def necessary_fields(view: View) -> Iterator[Finding]:
    """There is a user and an assistant turn, the assistant speaks last, no message is empty.

    A stranger's dialog may end with calls: many sets hold the turn to be learned alone.
    """
    messages = view.dialog.messages
    roles = {message.role for message in messages}
    if not {"user", "assistant"} <= roles:
        yield None, f"roles present: {', '.join(sorted(roles)) or 'none'}"
    elif messages[-1].role != "assistant" or (messages[-1].tool_calls and view.planned):
        yield len(messages) - 1, "the dialog does not end with an answer of the assistant"
    for turn, message in enumerate(messages):
        if not message.tool_calls and not message.content.strip():
            yield turn, f"the {message.role} message is empty"


@rule("dialog")
def trainable(view: View) -> Iterator[Finding]:
    """At least one turn of the assistant is not masked from the loss."""
    turns = [message.train for _, message in view.of("assistant")]
    if turns and not any(turns):
        yield None, "every turn of the assistant is masked"


@rule("dialog")
def message_length(view: View, *, chars: int = 4000, result_chars: int = 32000) -> Iterator[Finding]:
    """No message of user and assistant is longer than `chars` (a stranger's four times that), no other one than `result_chars`."""
    for turn, message in enumerate(view.dialog.messages):
        limit = chars * (1 if view.planned else 4) if message.role in ("user", "assistant") else result_chars
        if len(message.content) > limit:
            yield turn, f"{len(message.content)} characters, the limit is {limit}"


@rule("dialog")
def invalid_characters(view: View) -> Iterator[Finding]:
    """No control, private-use, unassigned, invisible or replacement characters."""
    texts = [(turn, message.content) for turn, message in enumerate(view.dialog.messages)]
    texts += [(turn, message.thought) for turn, message in view.of("assistant") if message.thought]
    texts += [
        (turn, value) for turn, call in view.calls for _, value in leaves(call.arguments) if isinstance(value, str)
    ]
    for turn, text in texts:
        if evidence := invalid_character(text):
            yield turn, evidence


def invalid_character(text: str) -> str | None:
    """The first character that no text should hold, as evidence ("character U+0007"), or letters of a wrong encoding; else None."""
    if text.isascii() and text.isprintable():
        return None
    if misread := _MISREAD.search(text):
        return f"{misread.group()!r}: UTF-8 read as another encoding"
    for character in text:
        if character in "\n\t\r" or character.isprintable():
            if character != "\ufffd":
                continue
        elif character not in _INVISIBLE and not _unwritable(character):
            continue
        return f"character U+{ord(character):04X}"
    return None


_INVISIBLE = "\u200b\u2060\ufeff"  # joiners and isolates are writing


def _unwritable(character: str) -> bool:
    """True for a control, private-use or surrogate character, an override of direction, and a code point that no text can have.

    One that is unassigned in this Python's Unicode may be a newer version's emoji, letter or sign.
    """
    category = unicodedata.category(character)
    if category == "Cn":
        code = ord(character)
        return (
            code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF or code >= 0x40000
        )  # noncharacters, and planes without any
    return category in ("Cc", "Co", "Cs") or unicodedata.bidirectional(character) in ("LRO", "RLO")


# UTF-8 that was read as Latin-1 or Windows-1252: Ã© for é, â€™ for an apostrophe.
_MISREAD = re.compile(r"Ã[\x80-\xbf]|â€[\x80-\xbf™œ\u201c\u201d\u02dc\u2018\u2019¦]|Â[°£€©®\xa0»«]|ï¿½")


@rule("dialog")
def mixed_language(view: View) -> Iterator[Finding]:
    """User and assistant write in one script and language; what is foreign was said or returned before, or is quoted."""
    if view.dialog.imported and any(_LANGUAGES.search(message.content) for _, message in view.of("user", "system")):
        return  # another language is what is talked about
    main: str | None = None
    for turn, message in view.of("user", "assistant"):
        text = message.content if view.planned or "`" not in message.content else CODE.sub(" ", message.content)
        counts = script_counts(text)
        if counts.total() >= 8 or main is None:
            script = counts.most_common(1)[0][0] if counts else None
            # Among signs that stand for words, a few names in letters soon outnumber them.
            share = 0.0 if script in _UNSPACED or main not in _UNSPACED else counts[main] / counts.total()
            if main is not None and script != main and share < 0.2:
                yield turn, f"written in {script}, the dialog in {main}"
                continue
            main = main or script
        if set(counts) <= {main}:
            continue
        before = " ".join(item.content for item in view.dialog.messages[:turn])
        for word in re.findall(r"[^\W\d_]+", _UNIT.sub(" ", _QUOTED.sub(" ", text))):
            word_scripts = set(script_counts(word))
            if main in _UNSPACED or word_scripts & _UNSPACED:
                continue  # no spaces between words: names and terms of another script stand among them
            if len(word_scripts) > 1:
                yield turn, f"{word!r} mixes {' and '.join(sorted(word_scripts))}"
            elif (
                word_scripts
                and word_scripts != {main}
                and (message.role == "assistant" or view.planned)
                and word not in before
            ):
                yield turn, f"{word!r} is written in {word_scripts.pop()}, the dialog in {main}"
        if main not in _UNSPACED and (message.role == "assistant" or view.planned):
            for run in _RUN.findall(_QUOTED.sub(" ", text)):
                if run not in before:
                    yield turn, f"{run[:40]!r} is written in another script, the dialog in {main}"
                    break
        elif main in _UNSPACED and message.role == "assistant":
            for foreign in _FOREIGN.findall(_QUOTED.sub(" ", text))[:1]:
                if foreign not in before:
                    yield turn, f"{foreign[:60]!r} is written in LATIN, the dialog in {main}"
    if main == "LATIN":
        yield from _mixed_languages(view)


def _mixed_languages(view: View) -> Iterator[Finding]:
    """Sentences of another language than the dialog's, both recognised by their commonest words."""
    texts = [
        (turn, _QUOTED.sub(" ", message.content)) for turn, message in view.of("user", "assistant") if message.content
    ]
    # A language counts once a message: one long foreign sentence does not outvote the others.
    by_message = Counter(language(text) for _, text in texts if language_counts(text))
    if not by_message:
        return
    main = by_message.most_common(1)[0][0]
    for turn, text in texts:
        if set(language_counts(text)) <= {main}:
            continue
        for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
            counts = language_counts(sentence)
            if not counts:
                continue
            other, hits = counts.most_common(1)[0]
            if other != main and hits >= 3 and not counts.get(main) and not _stands_before(view, turn, sentence):
                yield turn, f"{sentence[:60]!r} is {other}, the dialog {main}"
                break


def _stands_before(view: View, turn: int, sentence: str) -> bool:
    return any(sentence.strip() in message.content for message in view.dialog.messages[:turn])


@rule("dialog")
def response_complete(view: View) -> Iterator[Finding]:
    """Assistant answers end like sentences: neither cut off nor ending in a comma or an open bracket."""
    for turn, message in view.of("assistant"):
        text = message.content.strip()
        if not text or message.tool_calls:
            continue
        if _open_brackets(text, view.planned) or text.count("```") % 2:
            yield turn, "a bracket is not closed"
        elif text.count('"') % 2 and "`" not in text and not re.search(r'\d"', text):
            yield turn, "a quotation is not closed"
        elif not _ended(text) and (
            view.planned or not (_LISTED.search(text[-300:]) or _label(text) or _verse(text) or _handed_on(view, turn))
        ):
            yield turn, f"ends with {text[-20:]!r}"


def _ended(text: str) -> bool:
    """True for a text whose last sign may end it: a stop, a closing sign, an emoji, or a letter of a script that has no stops."""
    last = text.rstrip(_AFTER_ENDING)[-1:]
    if last in _ENDING:
        return True
    category, name = unicodedata.category(last), unicodedata.name(last, "")
    if category == "Po":
        return not last.isascii() and not _GOING_ON.search(name)
    if category == "Pi":  # closes in German („…“) and Danish (»…«), after a sign that opens there
        return any(unicodedata.category(sign) in ("Ps", "Pf") and sign not in "([{" for sign in text[:-1])
    if category in ("Lo", "Mn", "Mc", "Lm") and name.split(" ", 1)[0] in _UNSPACED - {"CJK"}:
        return True
    return category in ("So", "Sk", "Mn", "Me", "Pf", "Pe", "Cn")


# What follows an emoji and belongs to it: joiners, selectors, and the tags that make a flag.
_AFTER_ENDING = "\u200d\u200e\u200f\u2069\ufe0e\ufe0f" + "".join(map(chr, range(0xE0020, 0xE0080)))
_GOING_ON = re.compile(r"\bCOMMA\b|SEMICOLON|MIDDLE DOT|\bDASH|HYPHEN|AMPERSAND|SOLIDUS|INVERTED|ENUMERATION")


def _open_brackets(text: str, strict: bool) -> bool:
    """True where a bracket is left open; "[0, 1)" closes in its way."""
    opened, closed = (sum(map(text.count, signs)) for signs in ("([", ")]"))
    each = text.count("(") > text.count(")") or text.count("[") > text.count("]")
    return each and (strict or opened > closed)


def _handed_on(view: View, turn: int) -> bool:
    """True for a stranger's answer that is a result, or a part of the request, word by word: a translation, a quotation."""
    text = view.dialog.messages[turn].content.strip()
    return any(text in message.content for message in view.dialog.messages[max(0, turn - 8) : turn])


def _verse(text: str) -> bool:
    """True for lines that have no stops at all, as in a poem."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(lines) > 2 and not any(line[-1] in ".!?:" for line in lines)


def _label(text: str) -> bool:
    """True for a short answer that is no sentence: two words, a label with its value, the name below a quotation."""
    if _GOING_ON.search(unicodedata.name(text[-1], "")):
        return False
    if len(text) < 60 and re.search(r"\d\s?(?:°\s?[CF]?|%|[€$£]|km|kg|m|cm|mm|h|min|[A-Z]{3})$", text):
        return True  # "sunny, 20 °C"
    return len(text.split()) <= 2 or bool(
        re.search(r"^[^.:\n]{1,40}: [^.:\n]{1,40}$|[\"”.!?] ?[-–—~] ?[A-Z][\w.' -]{2,40}$", text)
    )


_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n+")
_ROW = re.compile(r"([^\W\d_]|[!?,])\1{11,}")
_STUTTER = re.compile(r"([^\W\d_]{2,12}?)\1{4,}")


@rule("dialog")
def repetition(view: View, *, times: int = 3) -> Iterator[Finding]:
    """No run of words is said `times` times in a row, and no long message is made of few words."""
    for turn, message in view.of("user", "assistant") if view.planned else view.of("assistant"):
        if (evidence := repeated(message.content, times)) and not (
            view.dialog.imported and _user_repeats(view, turn, evidence)
        ):
            yield turn, evidence


def _user_repeats(view: View, turn: int, evidence: str) -> bool:
    """True where the user says the repeated word twice too: "the chorus with na na na"."""
    word = evidence.partition("repeats ")[2].strip("'\"")
    return bool(word) and any(
        message.content.lower().split().count(word) > 1 for i, message in view.of("user") if i < turn
    )


def repeated(text: str, times: int = 3) -> str | None:
    """Evidence that a text repeats itself, else None: a run of up to 12 words `times` times in a row, a sentence twice in a row or
    `times` times, a word of one repeated part, or more than 40 words of which fewer than 30 % differ."""
    if "|" in text:  # the cells of a table may well be alike
        text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("|"))
    words = text.lower().split()
    if len(words) >= times:
        counts = Counter(words)
        if max(counts.values()) >= times:
            for size in range(1, min(12, len(words) // times) + 1):
                for start in range(len(words) - times * size + 1):
                    if words[start] != words[start + size]:
                        continue
                    run = words[start : start + size]
                    if run * times != words[start : start + times * size]:
                        continue
                    if any(map(str.isalnum, "".join(run))):  # a line of dashes is no speech
                        return f"repeats {' '.join(run)!r}"
            if len(words) > 40 and len(counts) < 0.3 * len(words):
                return f"{len(counts)} different words of {len(words)}"
    if "`" in text:
        text = CODE.sub(" ", text)
        words = text.lower().split()
    sentences = [sentence for sentence in map(str.strip, _SENTENCE.split(text)) if sentence.count(" ") >= 4]
    if len(set(sentences)) < len(sentences):
        for sentence, following in itertools.pairwise(sentences):
            if sentence == following or sentences.count(sentence) >= times:
                return f"repeats {sentence[:60]!r}"
    for word in words:
        if len(word) < 10 or 2 * len(set(word)) > len(word):
            continue
        if match := _STUTTER.search(word[:4000]) or _ROW.search(word[:4000]):
            return f"repeats {match.group(1)!r}"
    return None


@rule("dialog")
def echoed_request(view: View, *, similarity: float = 0.85) -> Iterator[Finding]:
    """An answer is more than the user's words said back."""
    request = ""
    for turn, message in view.of("user", "assistant"):
        if message.role == "user":
            request = message.content.lower()
        elif len(message.content) > 12 and fuzz.ratio(request[:400], message.content.lower()[:400]) > 100 * similarity:
            yield turn, "repeats the request"


def code_names(api: Api) -> frozenset[str]:
    """Names of an API, its parameters and its results' fields that have an underscore, so that nobody would say them aloud."""
    return frozenset(
        name for name in (api.name, *api.properties, *(api.returns.get("properties") or {})) if "_" in name
    )


@rule("dialog")
def leaked_prompt(view: View) -> Iterator[Finding]:
    """No text of a prompt, no mark of a chat template and, in our dialogs, no name in code style stands in what is said."""
    if view.planned:
        names = frozenset().union(*(code_names(api) for api in view.dialog.tools))
        for turn, message in view.of("user", "assistant"):
            text = message.content.lower()
            if any(sign in text for sign in _LEAK_SIGNS) and (leak := _LEAK.search(message.content)):
                yield turn, f"says {leak.group()!r}"
            if "_" in message.content:
                yield from ((turn, f"names {name}") for name in sorted(names) if name in message.content)
    prompts = [_words_and_runs(message.content) for _, message in view.of("system")]
    for turn, message in view.of("user", "assistant"):
        text = message.content.lower()
        if any(sign in text for sign in _MARK_SIGNS) and (leak := _MARKS.search(message.content)):
            if view.planned or not _asked_about(view, turn, leak.group()):
                yield turn, f"says {leak.group()!r}"
        elif message.role == "assistant" and text and prompts and (view.planned or not _asked_who(view, turn)):
            words = _WORD.findall(text)
            for prompt in prompts:
                if shared := _shared_run(words, *prompt):
                    yield turn, f"says {shared!r}, as the system prompt does"
                    break


_WORD = re.compile(r"[^\W_]+")
_ABOUT = re.compile(r"\b(?:mean\w*|what is|what's|what are|token|template|tag|prompt|syntax|format)\b", re.IGNORECASE)
_WHO = re.compile(
    r"\b(?:who|what) (?:are|r) (?:you|u)\b|\byour(?:self| (?:name|role|purpose|job))\b|\bwhat (?:can|do) you\b",
    re.IGNORECASE,
)


def _asked_about(view: View, turn: int, mark: str) -> bool:
    """True where a stranger's user asks about the mark itself."""
    requests = [message.content for i, message in view.of("user") if i <= turn]
    return any(mark.lower() in text.lower() and _ABOUT.search(text) for text in requests)


def _asked_who(view: View, turn: int) -> bool:
    """True where a stranger's user asks the assistant who it is: it may say what it was told to be."""
    latest = next((message.content for i, message in reversed(view.of("user")) if i < turn), "")
    return bool(_WHO.search(latest))


@memo.of_texts(4096)
def _words_and_runs(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """The words of a prompt, and its runs of some words."""
    words = _WORD.findall(text.lower())
    runs = (" ".join(words[i : i + _LEAKED_WORDS]) for i in range(len(words) - _LEAKED_WORDS + 1))
    return frozenset(words), frozenset(runs)


def _shared_run(words: list[str], prompt_words: frozenset[str], runs: frozenset[str]) -> str | None:
    """The first run that a prompt has too."""
    length = 0
    for i, word in enumerate(words):
        length = length + 1 if word in prompt_words else 0
        if length >= _LEAKED_WORDS and (run := " ".join(words[i + 1 - _LEAKED_WORDS : i + 1])) in runs:
            return run
    return None
