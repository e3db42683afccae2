"""The character model of recipes/text/causal-lm.toml in PyTorch: the same network, data, schedule and batches by chance.

    python xtask/torch/gpt.py TEXT [--steps N] [--seeds N] [--threads N]

TEXT is a file of text, gzipped or not. Prints a line of JSON for each seed: milliseconds a step (median after the first
tenth), seconds of all steps, and the loss over the whole of the last tenth of the text, which is not learned from. Needs
nothing but torch. The network is GPT-2's in its layout, with the exact GELU, as nanoGPT has it.
"""

import argparse
import gzip
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

LENGTH, BATCH, WIDTH, DEPTH, HEADS = 64, 12, 128, 4, 4
PEAK, FLOOR, WARMUP = 3e-3, 3e-5, 100


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.c_fc, self.back = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        batch, length, _ = x.shape
        heads = self.c_attn(self.ln_1(x)).view(batch, length, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*heads, is_causal=True)
        x = x + self.c_proj(mixed.transpose(1, 2).reshape(batch, length, WIDTH))
        return x + self.back(F.gelu(self.c_fc(self.ln_2(x))))


class Gpt(nn.Module):
    def __init__(self, symbols):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(symbols, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.h, self.ln_f = nn.ModuleList(Block() for _ in range(DEPTH)), nn.LayerNorm(WIDTH)
        for name, value in self.named_parameters():
            if value.dim() > 1:
                last = name.endswith(("c_proj.weight", "back.weight"))
                nn.init.normal_(value, std=0.02 / math.sqrt(2 * DEPTH) if last else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(value)

    def forward(self, ids, next_ids):
        x = self.wte(ids) + self.wpe.weight[: ids.shape[1]]
        for block in self.h:
            x = block(x)
        scores = F.linear(self.ln_f(x), self.wte.weight)
        return F.cross_entropy(scores.flatten(0, 1), next_ids.flatten())


def rate(step, steps):
    if step < WARMUP:
        return PEAK * step / WARMUP
    done = (step - WARMUP) / (steps - WARMUP)
    return FLOOR + 0.5 * (1 + math.cos(math.pi * done)) * (PEAK - FLOOR)


@torch.no_grad()
def whole(network, ids):
    """The mean loss over all symbols but the first, window by window."""
    total = 0.0
    for first in range(0, len(ids) - 1, LENGTH * 64):
        part = ids[first : first + LENGTH * 64 + 1]
        full = (len(part) - 1) // LENGTH * LENGTH
        if full:
            total += network(part[:full].view(-1, LENGTH), part[1 : full + 1].view(-1, LENGTH)).item() * full
        rest = len(part) - 1 - full
        if rest:
            total += network(part[None, full:-1], part[None, full + 1 :]).item() * rest
    return total / (len(ids) - 1)


def run(ids, symbols, steps, seed):
    torch.manual_seed(seed)
    network = Gpt(symbols)
    decayed = [value for value in network.parameters() if value.dim() > 1]
    others = [value for value in network.parameters() if value.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.99))
    kept = int(len(ids) * 0.9)
    times = []
    for step in range(steps):
        began = time.perf_counter()
        starts = torch.randint(kept - LENGTH, (BATCH,))
        x = torch.stack([ids[start : start + LENGTH] for start in starts])
        y = torch.stack([ids[start + 1 : start + LENGTH + 1] for start in starts])
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps)
        loss = network(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        times.append(time.perf_counter() - began)
    return {
        "seed": seed,
        "milliseconds": round(1e3 * statistics.median(times[steps // 10 :]), 2),
        "seconds": round(sum(times), 1),
        "validation_loss": round(whole(network, ids[kept:]), 4),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("text")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    opened = gzip.open if arguments.text.endswith(".gz") else open
    with opened(arguments.text, "rt", encoding="utf-8", newline="") as file:
        text = file.read()
    symbols = {symbol: number for number, symbol in enumerate(sorted(set(text)))}
    ids = torch.tensor([symbols[symbol] for symbol in text])
    for seed in range(arguments.seeds):
        print(json.dumps(run(ids, len(symbols), arguments.steps, seed)), flush=True)


main()
