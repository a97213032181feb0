"""The reference page that the configuration writes of itself: `python -m toolace_ray.config.document`."""

from __future__ import annotations

from typing import get_args, get_origin

from pydantic import BaseModel

from toolace_ray.config.tree import Config, Section, is_execution
from toolace_ray.records.json import canonical_json


def document() -> str:
    """The reference of all keys as Markdown (docs/configuration.md is its output)."""
    lines = [
        "# Configuration",
        "",
        "Every key, its default and what reads it. *content* keys decide what is made: a run that was started with one",
        "set refuses to go on with another. *execution* keys may change between two starts of one run.",
        "Any key can be given on the command line: `--set generate.quotas.single=50`.",
        "",
        "Made by `python -m toolace_ray.config.document`; a test holds it to the code.",
    ]

    def section(model: type[BaseModel], prefix: str, inherited: bool) -> None:
        rows, nested_sections = [], []
        for name, info in model.model_fields.items():
            annotation, key = info.annotation, f"{prefix}{name}"
            nested = annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None
            entry = get_args(annotation)[1] if get_origin(annotation) is dict else None
            if isinstance(entry, type) and issubclass(entry, Section):
                nested, key = entry, f"{key}.<name>"
            if nested is not None:
                nested_sections.append((nested, f"{key}.", inherited or is_execution(info)))
                continue
            default = info.default
            plain_default = list(default) if isinstance(default, tuple) else default
            kind = "execution" if inherited or is_execution(info) else "content"
            rows.append(f"| `{key}` | `{canonical_json(plain_default)}` | {kind} | {info.description} |")
        if rows:
            doc = (model.__doc__ or "").strip()
            title = prefix.rstrip(".") or "top level"
            lines.extend(
                ["", f"## {title}", "", doc, "", "| key | default | kind | meaning |", "| --- | --- | --- | --- |"]
            )
            lines.extend(rows)
        for nested, nested_prefix, nested_inherited in nested_sections:
            section(nested, nested_prefix, nested_inherited)

    section(Config, "", False)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
