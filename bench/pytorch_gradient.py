"""What reverse mode costs in PyTorch, at the shapes of `./assay bench gradient`.

usage: pytorch_gradient.py [THREADS]

Prints a line for each model: seconds of the forward pass alone (no graph kept), and what forward and
backward together take on top of it, in forward passes, to the inputs and to inputs and all weights.
Medians of interleaved runs; processor time on one thread, else wall time. Needs torch. No part of the
build."""
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 2
RUNS = 7


class Basic(nn.Module):
    """Two convolutions and a shortcut; batch norms are folded, as in the graphs of the bench."""

    def __init__(self, inside, out, stride):
        super().__init__()
        self.first = nn.Conv2d(inside, out, 3, stride, 1)
        self.second = nn.Conv2d(out, out, 3, 1, 1)
        self.short = nn.Conv2d(inside, out, 1, stride) if inside != out else nn.Identity()

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.short(x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 7, 2, 3)
        widths = [64, 64, 64, 128, 128, 256, 256, 512, 512]
        self.blocks = nn.Sequential(
            *(Basic(a, b, 1 if a == b else 2) for a, b in zip(widths, widths[1:]))
        )
        self.head = nn.Linear(512, 1000)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, 1)
        return self.head(self.blocks(x).mean((2, 3)))


class Gpt2Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (
            part.view(b, t, self.heads, -1).transpose(1, 2)
            for part in self.qkv(self.norms[0](x)).split(d, 2)
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(z.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.norms[1](x)), approximate="tanh"))


class Gpt2Small(nn.Module):
    """From the embedded tokens on, with the tied head."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(Gpt2Block(768, 12) for _ in range(12)))
        self.norm = nn.LayerNorm(768)
        self.head = nn.Linear(768, 50257, bias=False)

    def forward(self, x):
        return self.head(self.norm(self.blocks(x)))


class LlamaBlock(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.RMSNorm(width), nn.RMSNorm(width)])
        self.q, self.k, self.v, self.o = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = (nn.Linear(width, inner, bias=False) for _ in range(2))
        self.down = nn.Linear(inner, width, bias=False)

    def rotated(self, x):
        t, head = x.shape[2:]
        angles = torch.outer(torch.arange(t), 10000 ** (-2.0 * torch.arange(head // 2) / head))
        angles = torch.cat([angles, angles], 1)
        first, second = x.chunk(2, 3)
        return x * angles.cos() + torch.cat([-second, first], 3) * angles.sin()

    def forward(self, x):
        b, t, d = x.shape
        n = self.norms[0](x)
        q, k, v = (m(n).view(b, t, self.heads, -1).transpose(1, 2) for m in (self.q, self.k, self.v))
        z = F.scaled_dot_product_attention(self.rotated(q), self.rotated(k), v, is_causal=True)
        x = x + self.o(z.transpose(1, 2).reshape(b, t, d))
        n = self.norms[1](x)
        return x + self.down(F.silu(self.gate(n)) * self.up(n))


class Llama(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(*(LlamaBlock(512, 8, 1376) for _ in range(8)))
        self.norm = nn.RMSNorm(512)
        self.head = nn.Linear(512, 32000, bias=False)

    def forward(self, x):
        return self.head(self.norm(self.blocks(x)))


def seconds(work):
    clock = time.thread_time if THREADS == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def measure(name, model, x):
    model.eval()
    with torch.no_grad():
        seed = torch.randn_like(model(x))
    weights = list(model.parameters())

    def forward():
        with torch.no_grad():
            model(x)

    def backward(wrt):
        for w in weights:
            w.requires_grad_(wrt)
        at = x.clone().requires_grad_()
        torch.autograd.grad(model(at), [at, *(weights if wrt else [])], seed)

    ways = {"forward": forward, "inputs": lambda: backward(False), "all": lambda: backward(True)}
    times = {way: [] for way in ways}
    for run in range(RUNS + 1):
        for way, work in ways.items():
            spent = seconds(work)
            if run:
                times[way].append(spent)
    f, i, a = (statistics.median(times[way]) for way in ways)
    print(f"{name}: forward {f:.3f} s, inputs {i / f - 1:.2f}, all weights {a / f - 1:.2f}", flush=True)


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_num_threads(THREADS)
    print(f"torch {torch.__version__}, {THREADS} threads")
    measure("resnet-18 8 images", ResNet18(), torch.randn(8, 3, 224, 224))
    measure("gpt2-small 64x5 tokens", Gpt2Small(), torch.randn(64, 5, 768))
    measure("llama-8x512 4x80 tokens", Llama(), torch.randn(4, 80, 512))
