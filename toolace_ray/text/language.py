"""The language and the scripts of a text."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from toolace_ray.text import memo

# The commonest words of each language that no other of them has.
_COMMON = {
    "English": "the of and is are was were you your what which with this that have has will would can could please for from it's there how",
    "German": "anderthalb viertel halb bis uhr reserviere stell guten wann wo heute morgen danke mir mich kannst möchte der das und ist nicht ein eine ich sie für dem zu wir haben wird bitte auch werden oder kann wie gibt",
    "French": "je suis est vers bonjour cherche où quand demain merci prochain le les une dans pas vous je nous avec sont qui ce cette votre mais être aux quel quelle",
    "Spanish": "quiero necesito puedo hay hoy mañana dónde cuánto cuándo también gracias hola y del dos niño el los las por para una que pero más muy está usted puede qué cuál",
    "Italian": "gli che di è sono della questo anche lei molto nel alla qual quale",
    "Portuguese": "próxima às meia reunião amanhã quero obrigado marque agenda uma não para da em você mais são isso muito está ao pelo qual",
    "Dutch": "het een niet dat ik je zijn voor maar ook wij heeft deze naar wordt aan wat",
}
_LANGUAGES_OF: dict[str, set[str]] = {}


for _name, _words in _COMMON.items():
    for _word in _words.split():
        _LANGUAGES_OF.setdefault(_word, set()).add(_name)


def language(text: str) -> str:
    """The language that a text is in: the one with the most of its commonest words, if two at least and more than English; else
    English. "other" where more than 30 % of the characters are not ASCII."""
    if sum(map(str.isascii, text)) < 0.7 * len(text):
        return "other"
    counts = language_counts(text)
    for name, letters in () if text.isascii() else _LETTERS.items():
        if letters.search(text):
            counts = counts + Counter({name: 1})
    best = max(counts, key=counts.__getitem__, default="English")
    return best if counts[best] >= 2 and counts[best] > counts["English"] else "English"


_LETTERS = {
    "German": re.compile(r"[äöüß]", re.IGNORECASE),
    "Portuguese": re.compile(r"[ãõ]|ção\b", re.IGNORECASE),
    "Spanish": re.compile(r"[ñ¿¡áíóú]", re.IGNORECASE),
    "French": re.compile(r"[èêîœ]|\b[ldjn]['’](?=[aeiouhé])", re.IGNORECASE),
}


@memo.of_texts(4096)
def language_counts(text: str) -> Counter[str]:
    """Language -> how many of its own commonest words stand in a text."""
    counts: Counter[str] = Counter()
    for word in re.findall(r"[^\W\d_]+(?:'s)?", text.lower()):
        names = _LANGUAGES_OF.get(word)
        if names is not None and len(names) == 1:
            counts.update(names)
    return counts


@memo.of_texts(8192)
def script_counts(text: str) -> Counter[str]:
    """Script -> number of letters, by the first word of their Unicode names; Japanese kana count as CJK, with which they mix."""
    if text.isascii():
        letters = sum(map(str.isalpha, text))
        return Counter({"LATIN": letters}) if letters else Counter()
    normalised = unicodedata.normalize("NFKC", text)  # the micro sign is a Greek letter, full-width Latin is Latin
    normalised = normalised.replace("\u03bc", "")
    counts = Counter(unicodedata.name(character, "?").split()[0] for character in normalised if character.isalpha())
    for part in ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"):
        if part in counts:
            counts["CJK"] += counts.pop(part)
    return counts
