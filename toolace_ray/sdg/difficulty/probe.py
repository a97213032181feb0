"""A short LoRA tuning of the target on the prior set: what it fails afterwards is too hard for it.

A plain loop in one process; it needs the packages of the extra `train`. Losses are over the assistant's turns alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolace_ray.engines.template import Pass

IGNORED = -100


@dataclass(frozen=True)
class Tuning:
    """How the probe is tuned (paper section 4: LoRA on all modules, rank 16, alpha 32, warm-up 0.1, cosine)."""

    epochs: int
    learning_rate: float
    batch: int
    rank: int
    max_tokens: int
    seed: int


def tune(folder: str, passes: Sequence[Pass], settings: Tuning, output: str) -> list[float]:
    """Tune a copy of the model in `folder`, write it merged to `output`, and return the mean loss of each epoch (nats).

    Passes longer than `max_tokens` are left out.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(settings.seed)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(device)
    lora = LoraConfig(r=settings.rank, lora_alpha=2 * settings.rank, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, lora)
    fitting = [pass_ for pass_ in passes if len(pass_.ids) <= settings.max_tokens]
    steps = max(1, settings.epochs * -(-len(fitting) // settings.batch))
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=settings.learning_rate)
    schedule = get_cosine_schedule_with_warmup(optimizer, max(1, steps // 10), steps)
    order = random.Random(settings.seed)
    losses = []
    model.train()
    for _ in range(settings.epochs):
        total, count = 0.0, 0
        shuffled = order.sample(fitting, len(fitting))
        for start in range(0, len(shuffled), settings.batch):
            group = shuffled[start : start + settings.batch]
            tokens = sum(turn.end - turn.start for pass_ in group for turn in pass_.turns)
            for pass_ in group:  # one at a time: no padding, and memory for the longest one alone
                ids = torch.tensor([pass_.ids], device=device)
                labels = torch.full_like(ids, IGNORED)
                for turn in pass_.turns:
                    labels[0, turn.start : turn.end] = ids[0, turn.start : turn.end]
                logits = model(ids).logits[0, :-1].float()
                loss = torch.nn.functional.cross_entropy(logits, labels[0, 1:], ignore_index=IGNORED, reduction="sum")
                (loss / tokens).backward()
                total += float(loss.detach())
            count += tokens
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        losses.append(total / max(1, count))
    model.merge_and_unload().save_pretrained(output)
    AutoTokenizer.from_pretrained(folder).save_pretrained(output)
    return losses
