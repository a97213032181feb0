"""Does what a writer wrote have to do with what it was asked? Cheap checks of the faults that weak writers make most.

Invariant: a name or a description in the words of its topic is never refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from toolace_ray.prompts import prompt
from toolace_ray.records.api import Api
from toolace_ray.records.verdict import Verdict
from toolace_ray.schemas.walk import choices, texts

_SCRIPTS = {
    "LATIN",
    "CYRILLIC",
    "GREEK",
    "CJK",
    "HIRAGANA",
    "KATAKANA",
    "HANGUL",
    "ARABIC",
    "HEBREW",
    "THAI",
    "DEVANAGARI",
}
_SCRAP = re.compile(r"""[\[\]{}"]|^[,:;]|[,:;]$""")  # of JSON, which a weak writer runs on into inside a string
STEM = 4  # letters that two words must share to be taken for the same one
_SMALL = {"this", "that", "with", "from", "your", "each", "them", "which", "when", "what", "will", "have", "been", "into",
          "list", "item", "items", "value", "values", "name", "give", "given"}  # fmt: skip


def stems(text: str) -> set[str]:
    """The beginnings of the words of a text that carry meaning; words of three letters count whole."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    return {re.sub(r"ies$", "y", word)[:STEM] for word in words if len(word) > 2 and word not in _SMALL}


def related(one: str, other: str) -> bool:
    """True when two texts share a word that carries meaning, or one of them carries none."""
    first, second = stems(one), stems(other)
    return not first or not second or bool(first & second)


def whole(text: str, limit: int) -> str:
    """A text without the sentence, or at least the word, that it breaks off in: cut by the decoder at `limit`, or left open.

    Raises:
        ValueError: nothing is left.
    """
    text = re.sub(r"\s+", " ", text).strip()
    if (len(text) >= limit - 1 and not text.endswith((".", "!", "?"))) or text.endswith(tuple("([{,;:-")):
        sentence = re.match(r".*[.!?](?=\s)", text)
        text = sentence.group() if sentence else text.rpartition(" ")[0].rstrip(" ,;:(")
    if not text:
        raise ValueError("a description is empty or was cut off")
    return text


def off_topic(api: Api, topic: Iterable[str], names: Iterable[str], prompts: Iterable[str]) -> Verdict | None:
    """Why an API is not about its topic, or not written for it: what the gate can't see.

    Args:
        topic: the words it was to be made from: its path, its functionalities with their glosses.
        names: of its functionalities.
        prompts: names of the prompts that the writer was shown.
    """
    wanted = " ".join(topic)
    if re.search(r"[a-zA-Z]{3}", wanted) and not related(api.name, wanted):  # names are Latin, topics need not be
        return Verdict(stage="gate", rule="off_topic", evidence=f"{api.name} shares no word with {wanted}"[:300])
    if scripts(wanted) <= {"LATIN"} and not related(
        api.description, " ".join([*names, api.name])
    ):  # a sentence of the document about something else
        evidence = f"{api.name} is described as {api.description}"
        return Verdict(stage="gate", rule="off_topic", evidence=evidence[:300])
    written = [api.description, *texts(api.parameters), *texts(api.returns)]
    for text in written:
        for name in prompts:
            if leaked := prompt(name).shares(text):
                return Verdict(stage="gate", rule="leaked", evidence=f"{api.name} repeats its prompt: {leaked}"[:300])
    for value in (*choices(api.parameters), *choices(api.returns)):
        if _SCRAP.search(value):
            return Verdict(stage="gate", rule="scraps", evidence=f"{api.name} has the value {value!r}"[:300])
    foreign = scripts(" ".join([api.name, *written])) - scripts(wanted) - {"LATIN"}
    if foreign:
        evidence = f"{api.name} is partly written in {', '.join(sorted(foreign))}, its topic is not"
        return Verdict(stage="gate", rule="language", evidence=evidence)
    return None


def scripts(text: str) -> set[str]:
    """The scripts of a text's letters, by their names in Unicode."""
    found = {unicodedata.name(letter, "?").split()[0] for letter in set(text) if letter.isalpha()}
    return {"CJK" if script in ("HIRAGANA", "KATAKANA") else script for script in found if script in _SCRIPTS}
