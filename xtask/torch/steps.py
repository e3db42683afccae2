"""Whole training steps in PyTorch: the twins of crates/autodidact/benches/steps.

python steps.py WORKLOAD [--variant VARIANT] [--steps N] [--threads N] [--device cpu|cuda]

prints one line of JSON: medians after the first quarter of the steps, in milliseconds; on a GPU only the whole says when
the work was done. Needs nothing but torch.
Workloads go by name or letter, see WORKLOADS; variants are VARIANTS, of which those with "channels-last" are for
images. The networks have the parameters, and the steps the multiplications, of their Rust twins.
"""

import argparse
import contextlib
import json
import resource
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

WORKLOADS = {
    "resnet-simclr": "B",
    "bert-mlm": "C",
    "vit-mae": "D",
    "conv-simclr": "E",
    "gru-cpc": "F",
    "narrow-simclr": "G",
}
VARIANTS = ["f32", "f32-channels-last", "bf16", "bf16-channels-last"]


# --- SimCLR ---


def conv_norm(inputs, outputs, kernel, stride):
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class ResidualBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.first = conv_norm(inputs, outputs, 3, stride)
        self.second = conv_norm(outputs, outputs, 3, 1)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else conv_norm(inputs, outputs, 1, stride)

    def forward(self, x):
        y = self.second(F.relu(self.first(x), inplace=True))
        return F.relu(y + self.shortcut(x), inplace=True)


def resnet18(width):
    """With the stem for small images: a 3×3 convolution and no pooling."""
    layers = [conv_norm(3, width, 3, 1), nn.ReLU(inplace=True)]
    inputs = width
    for outputs, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [ResidualBlock(inputs, outputs, stride), ResidualBlock(outputs, outputs, 1)]
        inputs = outputs
    return nn.Sequential(*layers)


def three_convolutions():
    layers = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        layers += [conv_norm(inputs, outputs, 3, 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Contrast(nn.Module):
    """A backbone, the mean over positions, and a head; its loss is NT-Xent at temperature 0.5."""

    def __init__(self, backbone, width, projection):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, projection))

    def forward(self, images):
        return self.head(self.backbone(images).mean((2, 3)))


def nt_xent(z, temperature=0.5):
    views = len(z)
    z = F.normalize(z, dim=1)
    itself = torch.eye(views, dtype=torch.bool)
    similarity = (z @ z.t() / temperature).masked_fill(itself, float("-inf"))
    other = (torch.arange(views) + views // 2) % views
    return F.cross_entropy(similarity, other)


def simclr(backbone, width, projection, pairs, image, channels_last):
    network = Contrast(backbone, width, projection)
    base = torch.randn(pairs, *image)
    views = torch.cat([base + 0.3 * torch.randn_like(base) for _ in range(2)])
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        views = views.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    return network, optimizer, (views,), nt_xent


# --- transformers ---


class TransformerBlock(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x):
        batch, tokens, dim = x.shape
        heads = (batch, tokens, 3, self.heads, dim // self.heads)
        q, k, v = self.qkv(self.norm1(x)).view(heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, dim)
        x = x + self.proj(mixed)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


def blocks(dim, heads, depth):
    return nn.Sequential(*[TransformerBlock(dim, heads) for _ in range(depth)])


def small(*shape):
    return nn.Parameter(torch.randn(*shape) * 0.02)


class Bert(nn.Module):
    def __init__(self, words=8192, length=128, dim=256):
        super().__init__()
        self.words = nn.Embedding(words, dim)
        nn.init.normal_(self.words.weight, std=0.02)
        self.positions = small(1, length, dim)
        self.blocks = blocks(dim, heads=4, depth=4)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.predict = nn.Linear(dim, words)

    def forward(self, ids, asked):
        x = self.norm(self.blocks(self.words(ids) + self.positions))
        return self.predict(x.flatten(0, 1).index_select(0, asked))


def mlm():
    network = Bert()
    ids = torch.randint(0, 8192, (16, 128))
    asked = torch.randperm(16 * 128)[: 16 * 128 * 15 // 100]
    targets = torch.randint(0, 8192, (len(asked),))
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)
    return network, optimizer, (ids, asked), lambda logits: F.cross_entropy(logits, targets)


class MaskedAutoencoder(nn.Module):
    def __init__(self, patches=64, values=48, dim=192, narrow=128):
        super().__init__()
        self.embed = nn.Linear(values, dim)
        self.positions = small(1, patches, dim)
        self.blocks = blocks(dim, heads=3, depth=6)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.narrow = nn.Linear(dim, narrow)
        self.blank = small(1, 1, narrow)
        self.decoder_positions = small(1, patches, narrow)
        self.decoder_blocks = blocks(narrow, heads=4, depth=2)
        self.decoder_norm = nn.LayerNorm(narrow, eps=1e-6)
        self.predict = nn.Linear(narrow, values)

    def forward(self, patches, keep, restore):
        x = pick(self.embed(patches) + self.positions, keep)
        seen = self.narrow(self.norm(self.blocks(x)))
        batch, kept, dim = seen.shape
        blanks = self.blank.expand(batch, restore.shape[1] - kept, dim).to(seen.dtype)
        x = pick(torch.cat([seen, blanks], 1), restore) + self.decoder_positions
        return self.predict(self.decoder_norm(self.decoder_blocks(x)))


def pick(tokens, places):
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2]))


def mae(batch=128, count=64, kept=16):
    network = MaskedAutoencoder()
    patches = torch.randn(batch, count, 48)
    order = torch.stack([torch.randperm(count) for _ in range(batch)])
    keep, restore = order[:, :kept].contiguous(), order.argsort(1)
    hidden = torch.ones(batch, count).scatter_(1, keep, 0.0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.01)

    def loss(predicted):
        return ((predicted - patches).square().mean(-1) * hidden).sum() / hidden.sum()

    return network, optimizer, (patches, keep, restore), loss


# --- contrastive predictive coding ---


class Coder(nn.Module):
    def __init__(self, channels=6, dim=64, ahead=4):
        super().__init__()
        layers, inputs = [], channels
        for kernel, stride in ((5, 2), (5, 2), (3, 1), (3, 1), (3, 1)):
            layers += [nn.Conv1d(inputs, dim, kernel, stride, kernel // 2), nn.ReLU(inplace=True)]
            inputs = dim
        self.convs = nn.Sequential(*layers)
        self.gru = nn.GRU(dim, dim, batch_first=True)
        self.predict = nn.ModuleList([nn.Linear(dim, dim) for _ in range(ahead)])

    def forward(self, series):
        """Logits [times · batch, batch] for each step ahead."""
        x = self.convs(series).transpose(1, 2)
        context, _ = self.gru(x)
        times = x.shape[1] - len(self.predict)
        context, x = context[:, :times].transpose(0, 1), x.transpose(0, 1)
        return [
            (predict(context) @ x[k : k + times].transpose(1, 2)).flatten(0, 1).float()
            for k, predict in enumerate(self.predict, 1)
        ]


def cpc(batch=32):
    network = Coder()
    series = torch.randn(batch, 6, 512)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)

    def loss(logits):
        targets = torch.arange(batch).repeat(len(logits[0]) // batch)
        return sum(F.cross_entropy(one, targets) for one in logits) / len(logits)

    return network, optimizer, (series,), loss


# --- measuring ---


def prepare(workload, channels_last):
    """Network, optimizer, inputs, and the loss of what the network gives."""
    if workload == "resnet-simclr":
        return simclr(resnet18(64), 512, 128, 64, (3, 32, 32), channels_last)
    if workload == "narrow-simclr":
        return simclr(resnet18(16), 128, 128, 256, (3, 32, 32), channels_last)
    if workload == "conv-simclr":
        return simclr(three_convolutions(), 128, 64, 256, (1, 28, 28), channels_last)
    return {"bert-mlm": mlm, "vit-mae": mae, "gru-cpc": cpc}[workload]()


def measure(workload, variant, steps, device):
    torch.set_default_device(device)
    torch.manual_seed(0)
    network, optimizer, inputs, loss_of = prepare(workload, "channels-last" in variant)
    bf16 = variant.startswith("bf16")
    marks, losses = [], []
    for _ in range(steps):
        start = time.perf_counter()
        with torch.autocast(device, torch.bfloat16) if bf16 else contextlib.nullcontext():
            output = network(*inputs)
        loss = loss_of(output if isinstance(output, list) else output.float())
        looked = time.perf_counter()
        loss.backward()
        blamed = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        marks.append((start, looked, blamed, time.perf_counter()))

    def median(begin, end):
        return statistics.median(1e3 * (m[end] - m[begin]) for m in marks[steps // 4 :])

    return {
        "workload": workload,
        "side": "torch",
        "variant": variant,
        "version": torch.__version__,
        "threads": torch.get_num_threads(),
        "device": device,
        "steps": steps,
        "ms": median(0, 3),
        "forward_ms": median(0, 1),
        "backward_ms": median(1, 2),
        "update_ms": median(2, 3),
        "first_loss": losses[0],
        "last_loss": losses[-1],
        "parameters": sum(p.numel() for p in network.parameters()),
        # Kilobytes on Linux.
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main():
    names = {letter: name for name, letter in WORKLOADS.items()} | {name: name for name in WORKLOADS}
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("workload", choices=names)
    arguments.add_argument("--variant", choices=VARIANTS, default="f32")
    arguments.add_argument("--steps", type=int, default=20)
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    wanted = arguments.parse_args()
    torch.set_num_threads(wanted.threads)
    print(json.dumps(measure(names[wanted.workload], wanted.variant, wanted.steps, wanted.device)))


if __name__ == "__main__":
    main()
