"""Single operations in PyTorch: the twins of crates/kernels/benches/kernels.

python kernels.py CASES.json [KERNEL ...] [--variant VARIANT] [--threads N]

prints a line of JSON for each case: lower quartile, median and upper quartile of the forward and of the backward pass,
in milliseconds. Needs nothing but torch. Where a kernel works on images, "f32" stands for both layouts, one line each.
"""

import argparse
import json
import pathlib
import time

import torch
import torch.nn.functional as F
from torch import nn


def leaf(*shape, dtype):
    return torch.randn(*shape, dtype=dtype).requires_grad_()


# Each kernel gives a function to run forward, and the tensors whose gradients are wanted.


def matmul(dims, with_, dtype, layout):
    rows, depth, columns = dims
    x, weight = leaf(rows, depth, dtype=dtype), leaf(columns, depth, dtype=dtype)
    return lambda: F.linear(x, weight), [x, weight]


def linear(dims, with_, dtype, layout):
    rows, inputs, outputs = dims
    x, weight = leaf(rows, inputs, dtype=dtype), leaf(outputs, inputs, dtype=dtype)
    bias = leaf(outputs, dtype=dtype)
    activation = {"": lambda y: y, "relu": F.relu, "gelu": F.gelu}[with_]
    return lambda: activation(F.linear(x, weight, bias)), [x, weight, bias]


def attention(dims, with_, dtype, layout):
    q, k, v = (leaf(*dims, dtype=dtype) for _ in range(3))
    return lambda: F.scaled_dot_product_attention(q, k, v), [q, k, v]


def image(*shape, dtype, layout):
    return torch.randn(*shape, dtype=dtype).to(memory_format=layout).requires_grad_()


def conv2d(dims, with_, dtype, layout):
    batch, side, inputs, outputs, kernel, stride = dims
    x = image(batch, inputs, side, side, dtype=dtype, layout=layout)
    weight = image(outputs, inputs, kernel, kernel, dtype=dtype, layout=layout)
    leaves = [x, weight]
    if inputs in (1, 3):  # the data, which wants no gradient
        x.requires_grad_(False)
        leaves = [weight]
    return lambda: F.conv2d(x, weight, None, stride, kernel // 2), leaves


def conv1d(dims, with_, dtype, layout):
    batch, length, inputs, outputs, kernel, stride = dims
    x, weight = leaf(batch, inputs, length, dtype=dtype), leaf(outputs, inputs, kernel, dtype=dtype)
    bias = leaf(outputs, dtype=dtype)
    return lambda: F.conv1d(x, weight, bias, stride, kernel // 2), [x, weight, bias]


def gru(dims, with_, dtype, layout):
    batch, times, inputs, hidden = dims
    network = nn.GRU(inputs, hidden, batch_first=True).to(dtype)
    x = leaf(batch, times, inputs, dtype=dtype)
    return lambda: network(x)[0], [x, *network.parameters()]


def batch_norm(dims, with_, dtype, layout):
    batch, side, channels = dims
    shape = (batch, channels, side, side)
    x = image(*shape, dtype=dtype, layout=layout)
    gamma, beta = leaf(channels, dtype=torch.float32), leaf(channels, dtype=torch.float32)
    leaves = [x, gamma, beta]
    if "residual" in with_:
        leaves.append(image(*shape, dtype=dtype, layout=layout))

    def forward():
        y = F.batch_norm(x, None, None, gamma, beta, training=True)
        return F.relu(y + leaves[3] if "residual" in with_ else y, inplace=True)

    return forward, leaves


def layer_norm(dims, with_, dtype, layout):
    x = leaf(*dims, dtype=dtype)
    gamma, beta = leaf(dims[-1], dtype=dtype), leaf(dims[-1], dtype=dtype)
    return lambda: F.layer_norm(x, dims[-1:], gamma, beta), [x, gamma, beta]


def nt_xent(dims, with_, dtype, layout):
    views, _ = dims
    z = F.normalize(torch.randn(*dims, dtype=dtype), dim=1).requires_grad_()
    itself = torch.eye(views, dtype=torch.bool)
    other = (torch.arange(views) + views // 2) % views

    def forward():
        similarity = (z @ z.t() / 0.5).masked_fill(itself, float("-inf"))
        return F.cross_entropy(similarity, other)

    return forward, [z]


def cross_entropy(dims, with_, dtype, layout):
    logits, targets = leaf(*dims, dtype=dtype), torch.randint(0, dims[1], dims[:1])
    return lambda: F.cross_entropy(logits, targets), [logits]


def embedding(dims, with_, dtype, layout):
    words, dim, batch, length = dims
    weight, ids = leaf(words, dim, dtype=dtype), torch.randint(0, words, (batch, length))
    return lambda: F.embedding(ids, weight), [weight]


KERNELS = [
    matmul, linear, attention, conv2d, conv1d, gru,
    batch_norm, layer_norm, nt_xent, cross_entropy, embedding,
]  # fmt: skip
KERNELS = {kernel.__name__: kernel for kernel in KERNELS}
OF_IMAGES = ["conv2d", "batch_norm"]
LAYOUTS = {"": torch.contiguous_format, "-channels-last": torch.channels_last}


def measure(forward, leaves):
    """Repetitions of about half a second after three to warm up."""
    times, begin, run = ([], []), time.perf_counter(), 0
    while run < 8 or time.perf_counter() - begin < 0.5:
        start = time.perf_counter()
        output = forward()
        middle = time.perf_counter()
        torch.autograd.grad(output, leaves, torch.ones_like(output))
        end = time.perf_counter()
        run += 1
        if run <= 3:
            begin = time.perf_counter()
            continue
        times[0].append(1e3 * (middle - start))
        times[1].append(1e3 * (end - middle))
    for one in times:
        one.sort()
    return [[one[(len(one) - 1) * quarter // 4] for quarter in (1, 2, 3)] for one in times]


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("cases", type=pathlib.Path)
    arguments.add_argument("kernels", nargs="*", help="all of them by default")
    arguments.add_argument("--variant", choices=["f32", "bf16"], default="f32")
    arguments.add_argument("--threads", type=int, default=torch.get_num_threads())
    wanted = arguments.parse_args()
    torch.set_num_threads(wanted.threads)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[wanted.variant]
    for case in json.loads(wanted.cases.read_text()):
        kernel = case["kernel"]
        if wanted.kernels and kernel not in wanted.kernels:
            continue
        for suffix, layout in LAYOUTS.items():
            if suffix and kernel not in OF_IMAGES:
                continue
            torch.manual_seed(0)
            run = KERNELS[kernel](case["dims"], case.get("with", ""), dtype, layout)
            forward, backward = measure(*run)
            report = {
                "case": case,
                "side": "torch",
                "variant": wanted.variant + suffix,
                "version": torch.__version__,
                "threads": torch.get_num_threads(),
                "forward_ms": forward,
                "backward_ms": backward,
            }
            print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
