"""Turn a GGUF file into a folder of safetensors that vLLM's CPU build and DeepSpeed can load.

Run as `python -m toolace_ray.convert model.gguf folder`, in a process of its own: it needs the model's size in memory
twice, and the caller should not keep it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from toolace_ray.models import CONVERTED


def convert(gguf: Path, folder: Path) -> None:
    """Save the model and the tokenizer of `gguf` into `folder` as bf16 safetensors."""
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        # Without it the weights stay packed and save_pretrained refuses them.
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    fields = GGUFReader(gguf).fields

    def token_id(key: str) -> int | None:
        field = fields.get(f"tokenizer.ggml.{key}")
        return int(field.contents()) if field is not None else None

    eos = token_id("eos_token_id")
    pad = token_id("padding_token_id")
    for config in (model.config, model.generation_config):
        config.eos_token_id = eos
        config.pad_token_id = pad if pad is not None else eos
        if (bos := token_id("bos_token_id")) is not None:
            config.bos_token_id = bos
    if eos is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(eos)
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(pad if pad is not None else eos)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
    print(CONVERTED)
