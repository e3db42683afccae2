"""A training step of TS2Vec in PyTorch: the network, crops, loss and optimizer of recipes/series/ts2vec.toml as the paper has them.

    python xtask/torch/ts2vec.py ITEMS LENGTH CHANNELS [--steps N] [--threads N]

Yue et al. 2022, arXiv 2106.10466. Learns from noise of that shape, in batches of 16, and prints a line of JSON: milliseconds a
step, the median after the first tenth. GunPoint has 50 items of 150 steps and 1 channel. Needs nothing but torch.
"""

import argparse
import json
import random
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel

HIDDEN, DEPTH, DIM, BATCH, RATE = 64, 10, 320, 16, 1e-3


class Block(nn.Module):
    def __init__(self, inputs, outputs, dilation, last):
        super().__init__()
        self.conv1 = nn.Conv1d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        self.conv2 = nn.Conv1d(outputs, outputs, 3, padding=dilation, dilation=dilation)
        self.projector = nn.Conv1d(inputs, outputs, 1) if last or inputs != outputs else None

    def forward(self, x):
        residual = x if self.projector is None else self.projector(x)
        x = self.conv1(F.gelu(x))
        return self.conv2(F.gelu(x)) + residual


class Encoder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.input_fc = nn.Linear(channels, HIDDEN)
        widths = [HIDDEN] * (DEPTH + 1) + [DIM]
        pairs = enumerate(zip(widths, widths[1:]))
        self.net = nn.Sequential(*(Block(a, b, 2**i, i == DEPTH) for i, (a, b) in pairs))

    def forward(self, x):
        x = self.input_fc(x)
        kept = torch.rand(x.shape[:2]) < 0.5
        x = x * kept.unsqueeze(-1)
        return F.dropout(self.net(x.transpose(1, 2)), 0.1).transpose(1, 2)


def contrast(z, n):
    """-log of what its other view has of what each token sees; z holds both views of n tokens, [groups, 2n, dim]."""
    similar = z @ z.transpose(1, 2)
    # Without the diagonal: a row has 2n - 1 places.
    others = torch.tril(similar, diagonal=-1)[:, :, :-1] + torch.triu(similar, diagonal=1)[:, :, 1:]
    logs = -F.log_softmax(others, dim=-1)
    i = torch.arange(n)
    return (logs[:, i, n + i - 1].mean() + logs[:, n + i, i].mean()) / 2


def hierarchical(a, b):
    loss, scales = torch.tensor(0.0), 0
    while True:
        items, moments = a.shape[0], a.shape[1]
        loss = loss + 0.5 * contrast(torch.cat([a, b], 0).transpose(0, 1), items)
        if moments > 1:
            loss = loss + 0.5 * contrast(torch.cat([a, b], 1), moments)
        scales += 1
        if moments == 1:
            return loss / scales
        a, b = (F.max_pool1d(x.transpose(1, 2), 2).transpose(1, 2) for x in (a, b))


def taken(x, first, length):
    places = first[:, None] + torch.arange(length)
    return x[torch.arange(len(x))[:, None], places]


def step(encoder, average, optimizer, x):
    length = x.shape[1]
    shared = random.randint(2, length)
    left = random.randint(0, length - shared)
    right = left + shared
    outer_left, outer_right = random.randint(0, left), random.randint(right, length)
    offset = torch.randint(-outer_left, length - outer_right + 1, (len(x),))
    optimizer.zero_grad()
    a = encoder(taken(x, offset + outer_left, right - outer_left))[:, -shared:]
    b = encoder(taken(x, offset + left, outer_right - left))[:, :shared]
    loss = hierarchical(a, b)
    loss.backward()
    optimizer.step()
    average.update_parameters(encoder)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("items", "length", "channels"):
        parser.add_argument(name, type=int)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    random.seed(0)
    data = torch.randn(asked.items, asked.length, asked.channels)
    encoder = Encoder(asked.channels)
    average = AveragedModel(encoder)
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=RATE)
    times = []
    for _ in range(asked.steps):
        x = data[torch.randperm(asked.items)[:BATCH]]
        start = time.perf_counter()
        step(encoder, average, optimizer, x)
        times.append(1e3 * (time.perf_counter() - start))
    rest = times[len(times) // 10 :]
    print(json.dumps({"milliseconds": round(statistics.median(rest), 2), "mean": round(statistics.mean(rest), 2)}))


if __name__ == "__main__":
    main()
