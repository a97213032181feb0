"""Is an API new? Exact hashes first, then MinHash over what it says (rensa).

Two operations of one document that act on different things are never near-duplicates, however alike they are told.

Invariants: what is new depends on the order of the questions alone; equal keys are never both new; the index holds
compact arrays, no APIs.
"""

from __future__ import annotations

import copy
import itertools
import re
import zlib
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from toolace_ray.records.api import Api
from toolace_ray.records.json import canonical_json, digest
from toolace_ray.schemas.walk import rebuild, shape

PERMUTATIONS = 64
BANDS = 16  # of 4 rows: pairs with a Jaccard similarity of 0.5 meet with a probability of 0.64, of 0.8 with 0.9998
MAX_SHINGLES = 512
MOST = 32  # candidates that are compared exactly
HEAD = 32  # characters of a key before its shingles: two hashes of 16
ORIGIN = "@"  # before the end of a key that says where in which document it comes from: two hashes of 16
_SHINGLE = 8


class Novelty(Protocol):
    """What decides whether a key is new."""

    def repeats(self, key: str, label: str) -> str | None:
        """None when nothing like `key` was met before, which is then remembered under `label`; else words that name what it repeats."""
        ...


@dataclass
class Exact:
    """New is what was not seen; an empty key is always new."""

    seen: dict[str, str] = field(default_factory=dict)

    def repeats(self, key: str, label: str) -> str | None:
        """See Novelty."""
        if key in self.seen:
            return f"the same as {self.seen[key]}"
        if key:
            self.seen[key] = label
        return None


def joined_key(first: str, second: str, pieces: Iterable[str]) -> str:
    """A key: two hashes of 16 characters, either of which two that are the same share, and the checksums of pieces (hexadecimal)."""
    hashed = sorted({zlib.crc32(text.encode("utf-8", "replace")) for text in pieces})[:MAX_SHINGLES]
    return first + second + "".join(f"{value:08x}" for value in hashed)


def api_key(api: Api) -> str:
    """An API's key: hash of domain and name, hash of what it takes and gives, and its shingles' checksums (hexadecimal); of
    an operation also its ORIGIN.

    Two APIs of one domain under one name are one: a model that sees both can't tell them apart by name.
    """
    name = digest(api.domain[0].lower() if api.domain else "", _letters(api.name))
    schemas = (canonical_json(rebuild(schema, _bare)) for schema in (api.parameters, api.returns))
    bare = digest(*schemas, _letters(api.name))
    origin = ""
    if api.lineage.operation and api.lineage.documents:
        origin = ORIGIN + digest(api.lineage.documents[0]) + digest(_acted_on(api.lineage.operation))
    return joined_key(name, bare, shingles(api)) + origin


def _acted_on(operation: str) -> str:
    """A method and its path without versions and without the names of its parameters; of a tool its name."""
    parts = re.sub(r"\{[^}]*\}", "{}", operation).split("/")
    return "/".join(part for part in parts if part and not re.fullmatch(r"v\d\w*", part))


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _bare(schema: Any, _: int = 0) -> Any:
    """A schema, but not those below it, without what only people read."""
    if not isinstance(schema, dict):
        return schema
    bare = {key: value for key, value in schema.items() if key not in ("description", "title", "examples", "default")}
    if isinstance(bare.get("required"), list):
        bare["required"] = sorted(map(str, bare["required"]))
    return bare


def shingles(api: Api) -> Iterator[str]:
    """What an API says, in pieces: words of its name, pairs of words of its description, and its fields with their types."""
    words = re.findall(r"[a-z0-9]+", api.description.lower())
    yield from (f"n:{word}" for word in re.findall(r"[a-z0-9]+", api.name.lower()))
    yield from (f"d:{first} {second}" for first, second in itertools.pairwise(words))
    yield from (f"w:{word}" for word in words if len(word) > 3)
    for part, schema in (("p", api.parameters), ("r", api.returns)):
        yield from (f"{part}:{path}:{kind}" for path, kind in shape(schema).leaves.items())


class NearDuplicates:
    """The APIs admitted so far, as an index of their shingles.

    Args:
        threshold: Jaccard similarity of two shingle sets from which they are one.
    """

    def __init__(self, threshold: float) -> None:
        import rensa

        self._threshold = threshold
        self._lsh = rensa.RMinHashLSH(threshold, PERMUTATIONS, BANDS)
        self._hashes: dict[bytes, int] = {}
        self._flat = array("I")
        self._ends = array("Q", [0])
        self._sketches = np.zeros((1024, PERMUTATIONS), np.uint32)
        self._labels: list[str] = []
        self._origins: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._labels)

    def __setstate__(self, state: dict[str, Any]) -> None:
        # What arrives through Ray's object store lies in shared, read-only memory.
        self.__dict__.update(state, _sketches=np.array(state["_sketches"]))

    def repeats(self, key: str, label: str) -> str | None:
        """See Novelty."""
        key, _, origin = key.partition(ORIGIN)
        heads = [bytes.fromhex(key[:16]), bytes.fromhex(key[16:HEAD])]
        for head in heads:
            if head in self._hashes:
                return f"the same as {self._labels[self._hashes[head]]}"
        values = _values(key)
        sketch = _sketch(values)
        mine = set(values)
        digest_row = np.array(sketch.digest(), np.uint32)
        others = [index for index in self._lsh.query(sketch) if not _told_apart(origin, self._origins.get(index, ""))]
        for index in self._most_alike(others, digest_row):
            other = self._flat[self._ends[index] : self._ends[index + 1]]
            common = sum(value in mine for value in other)
            similarity = common / (len(mine) + len(other) - common) if other or mine else 1.0
            if similarity >= self._threshold:
                return f"{100 * similarity:.0f} % the same as {self._labels[index]}"
        index = len(self._labels)
        if index == len(self._sketches):
            self._sketches = np.concatenate([self._sketches, np.zeros_like(self._sketches)])
        self._sketches[index] = digest_row
        self._lsh.insert(index, sketch)
        self._hashes.update(dict.fromkeys(heads, index))
        self._flat.extend(values)
        self._ends.append(len(self._flat))
        self._labels.append(label)
        if origin:
            self._origins[index] = origin
        return None

    def _most_alike(self, candidates: list[int], row: Any) -> list[int]:
        """The candidates to compare exactly, in their order: the most alike by their sketches, MOST of them at most.

        Writers with a template make thousands of candidates that are all a little below the threshold.
        """
        if len(candidates) <= MOST:
            return sorted(candidates)
        ordered = np.array(sorted(candidates))
        alike = (self._sketches[ordered] == row).sum(axis=1)
        return sorted(ordered[np.argsort(-alike, kind="stable")[:MOST]].tolist())

    def copy(self) -> NearDuplicates:
        """An index of its own with the same content."""
        return copy.deepcopy(self)


def _told_apart(first: str, second: str) -> bool:
    """True for the origins of two operations of one document that act on different things."""
    return first[:16] == second[:16] and first != second


def _values(key: str) -> list[int]:
    key = key.partition(ORIGIN)[0]
    return [int(key[at : at + _SHINGLE], 16) for at in range(HEAD, len(key), _SHINGLE)]


def _sketch(values: list[int]) -> Any:
    import rensa

    sketch = rensa.RMinHash(num_perm=PERMUTATIONS, seed=1)
    sketch.update([value.to_bytes(4, "big") for value in values])
    return sketch


def nearest(keys: list[str], sample: list[int]) -> list[float]:
    """For each sampled index the estimated Jaccard distance, 0 to 1, to its nearest neighbour among all keys.

    Linear in the number of keys for a sample of fixed size; one row of 64 numbers a key.
    """
    if len(keys) < 2:
        return []
    rows = np.array([_sketch(_values(key)).digest() for key in keys], dtype=np.uint32)
    distances = []
    for index in sample:
        same = (rows == rows[index]).mean(axis=1)
        same[index] = 0.0
        distances.append(float(1.0 - same.max()))
    return distances
