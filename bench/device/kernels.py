"""The CUDA library's kernels as Python calls, each beside what one would write in PyTorch.

A case has its inputs on the device of its library, calls both, compares ours with float64, and says
what the work is at least: bytes and operations. run.py times it. V = 50257 and d = 768 are GPT-2
small's; A audits, R rows, S sequences, p modulus.
"""

import ctypes as c
import math
from dataclasses import dataclass, field
from typing import Callable

from abi import (
    LAYER_NORM,
    AdamW,
    Attention,
    EdgeScores,
    Fourier,
    HeadRows,
    PatchRows,
    TokenSwap,
    matrix,
    pointer,
)

FEW = 16  # audits; more are bounded on the matrix units, whatever the type of the table


@dataclass
class Case:
    bench: str
    shape: str
    rate: str  # "f32", "f64" or "bf16": whose matrix rate the operations are held against
    bytes: float
    operations: float
    ours: Callable
    baselines: dict  # name -> function
    error: Callable  # () -> (error, bound), of ours against float64
    uploads: list = field(default_factory=list)  # what a caller brings each time
    downloads: list = field(default_factory=list)  # what it takes back


class Cases:
    """Makes the cases: cases(torch, library, device).all(small)."""

    def __init__(self, torch, library, device):
        self.torch = torch
        self.library = library
        self.device = device
        cuda = device != "cpu"
        handle = torch.cuda.current_stream().cuda_stream if cuda else None
        self.stream = library.stream(torch.cuda.current_device() if cuda else 0, handle)
        self.tables = {}

    def normal(self, *shape, seed, dtype="float32", scale=1.0):
        t = self.torch
        generator = t.Generator(device=self.device).manual_seed(seed)
        x = t.randn(*shape, generator=generator, device=self.device) * scale
        return x.to(getattr(t, dtype))

    def table(self, v, d, dtype):
        """One for all cases; values of GPT-2's size, so that logits are."""
        if (v, d) not in self.tables:
            self.tables[v, d] = {}
        made = self.tables[v, d]
        if dtype not in made:
            made[dtype] = self.normal(v, d, seed=1, scale=0.14).to(getattr(self.torch, dtype))
        return made[dtype]

    def call(self, name, args, outputs, keep, query=None):
        return self.library.caller(
            name, args, outputs, keep, self.device, self.stream, self.torch, query
        )

    def empty(self, *shape, dtype="float32"):
        x = self.torch.empty(*shape, dtype=getattr(self.torch, dtype), device=self.device)
        return x.fill_(math.nan if x.is_floating_point() else -7)

    def token_swap(self, audits, v, d, kept, dtype):
        t = self.torch
        table = self.table(v, d, dtype)
        gradient = self.normal(audits, d, seed=2)
        hidden = self.normal(audits, d, seed=3)
        alpha = self.normal(audits, seed=4).abs()
        unigram = self.normal(v, seed=5)
        allowed = self.normal(v, seed=6) > -1
        bits = t.zeros((v + 7) // 8, dtype=t.uint8, device=self.device)
        for bit in range(8):
            part = allowed[bit::8].to(t.uint8) << bit
            bits[: part.shape[0]] |= part
        ids = self.empty(audits, kept, dtype="int32")
        scores = self.empty(audits, kept)
        found = self.empty(audits, dtype="int32")
        nans = self.empty(audits, dtype="int64")
        args = TokenSwap(c.sizeof(TokenSwap))
        args.embedding, args.gradient, args.hidden = matrix(table), matrix(gradient), matrix(hidden)
        for name, value in dict(
            alpha=alpha, unigram=unigram, allowed=bits, ids=ids, scores=scores, found=found, nans=nans
        ).items():
            setattr(args, name, pointer(value))
        args.kept = kept
        keep = (table, gradient, hidden, alpha, unigram, bits, ids, scores, found, nans)
        ours = self.call("assay_token_swap_topk", args, [], keep)

        def torch_topk():
            x = (gradient + alpha[:, None] * hidden).to(table.dtype)
            s = (x @ table.T).float() + unigram
            return t.topk(s.masked_fill_(~allowed, -math.inf), kept)

        def error():
            ours()
            x = gradient.double() + alpha.double()[:, None] * hidden.double()
            s = (x @ table.double().T + unigram.double()).masked_fill_(~allowed, -math.inf)
            size = x.abs() @ table.double().abs().T
            best = t.topk(s, kept).values
            chosen = s.gather(1, ids.long().clamp(0, v - 1))
            bound = gamma(d + 8) * float(size.max())
            worst = max(largest(chosen - best), largest(scores.double() - chosen))
            distinct = all(len(set(row)) == kept for row in ids.tolist())
            return (worst if distinct and bool((found == kept).all()) else math.inf), 2 * bound

        size = table.element_size()
        return Case(
            "token_swap_topk",
            f"A {audits}, V {v}, d {d}, K {kept}, {dtype} table",
            "bf16" if audits > FEW else rate(dtype),
            v * d * size + v * 4 + 2 * audits * d * 4,
            2.0 * audits * d * v,
            ours,
            {"PyTorch": torch_topk},
            error,
            [gradient, hidden, alpha],
            [ids, scores, found],
        )

    def heads(self, rows, v, d, dtype):
        """head_rows, head_backward by itself, and both."""
        t = self.torch
        table = self.table(v, d, dtype)
        hidden = self.normal(rows, d, seed=7)
        weight = self.normal(rows, seed=8)
        generator = t.Generator(device=self.device).manual_seed(9)
        targets = t.randint(0, v, (rows,), generator=generator, device=self.device).to(t.int32)
        log_prob, lse, margin = (self.empty(rows) for _ in range(3))
        best = self.empty(rows, dtype="int32")
        gradient = self.empty(rows, d)
        args = HeadRows(c.sizeof(HeadRows))
        args.hidden, args.head, args.targets = matrix(hidden), matrix(table), pointer(targets)
        keep = (table, hidden, weight, targets, log_prob, lse, margin, best, gradient)
        outputs = [pointer(log_prob), pointer(lse), pointer(best), pointer(margin)]
        forward = self.call("assay_head_rows", args, outputs, keep)
        to = matrix(gradient)
        given = [pointer(lse), pointer(weight), c.byref(to)]
        backward = self.call("assay_head_backward", args, given, (keep, to))

        def logits_of(h):
            return (h.to(table.dtype) @ table.T).float()

        index = targets.long()[:, None]

        def torch_rows():
            s = logits_of(hidden)
            l = s.logsumexp(1)
            two = s.topk(2, 1)
            return s.gather(1, index)[:, 0] - l, l, two.indices[:, 0], two.values.diff(dim=1)

        def torch_backward():
            p = (logits_of(hidden) - lse[:, None]).exp_()
            mean = (p.to(table.dtype) @ table).float()
            return weight[:, None] * (table[targets.long()].float() - mean)

        def torch_both():
            h = hidden.detach().requires_grad_()
            l = logits_of(h).log_softmax(1).gather(1, index)[:, 0]
            return t.autograd.grad((weight * l).sum(), h)[0]

        def both():
            forward()
            backward()

        def exact():
            """In blocks of rows: float64 logits of all would take gigabytes."""
            worst, bound = 0.0, 0.0
            w = table.double()
            for at in range(0, rows, 256):
                part = slice(at, min(at + 256, rows))
                h = hidden[part].double()
                s = h @ w.T
                l = s.logsumexp(1)
                lp = s.gather(1, index[part])[:, 0] - l
                two = s.topk(2, 1).values
                off = 2 * gamma(d + 8) * float((h.abs() @ w.abs().T).max()) + 1e-5
                chosen = s.gather(1, best[part].long().clamp(0, v - 1)[:, None])[:, 0]
                grad = weight[part].double()[:, None] * (w[index[part][:, 0]] - (s - l[:, None]).exp() @ w)
                worst = max(
                    worst,
                    largest(lp - log_prob[part]) / off,
                    largest(l - lse[part]) / off,
                    largest(two[:, 0] - chosen) / off,
                    largest(two[:, 0] - two[:, 1] - margin[part]) / off,
                    largest(grad - gradient[part]) / (2 * off * float(w.abs().max() * weight.abs().max())),
                )
            return worst, 1.0

        def error():
            both()
            return exact()

        size = table.element_size() * v * d
        shape = f"R {rows}, V {v}, d {d}, {dtype} table"
        common = dict(shape=shape, rate=rate(dtype), error=error)
        return [
            Case(
                bench="head_rows",
                bytes=size + rows * d * 4,
                operations=2.0 * rows * d * v,
                ours=forward,
                baselines={"PyTorch": torch_rows},
                uploads=[hidden, targets],
                downloads=[log_prob, best, margin],
                **common,
            ),
            Case(
                bench="head_backward",
                bytes=size + 2 * rows * d * 4,
                operations=4.0 * rows * d * v,
                ours=backward,
                baselines={"PyTorch": torch_backward},
                uploads=[hidden, targets, lse, weight],
                downloads=[gradient],
                **common,
            ),
            Case(
                bench="head_rows + head_backward",
                bytes=2 * size + 3 * rows * d * 4,
                operations=6.0 * rows * d * v,
                ours=both,
                baselines={"PyTorch autograd": torch_both},
                uploads=[hidden, targets, weight],
                downloads=[log_prob, gradient],
                **common,
            ),
        ]

    def adamw(self, parameters, columns):
        t = self.torch
        rows = parameters // columns
        p, g, m, v = (self.normal(rows, columns, seed=s, scale=0.02) for s in (10, 11, 12, 13))
        v = v.square()
        lr, b1, b2, eps, decay, step = 1e-3, 0.9, 0.98, 1e-8, 0.1, 10
        args = AdamW(c.sizeof(AdamW), lr, b1, b2, eps, decay, step)
        of = [matrix(x) for x in (g, p, m, v)]
        ours = self.call(
            "assay_adamw", args, [c.byref(x) for x in of], (p, g, m, v, of), query=of[1]
        )
        theirs = t.nn.Parameter(p.clone())
        theirs.grad = g.clone()
        fused = t.optim.AdamW([theirs], lr=lr, betas=(b1, b2), eps=eps, weight_decay=decay, fused=True)

        def error():
            before = [x.double() for x in (p, g, m, v)]
            ours()
            x, y, f, s = before
            x = x - lr * decay * x
            f = b1 * f + (1 - b1) * y
            s = b2 * s + (1 - b2) * y * y
            x = x - lr * (f / (1 - b1**step)) / ((s / (1 - b2**step)).sqrt() + eps)
            off = max(
                float(((a - b.double()).abs() / (a.abs() + 1e-30)).max())
                for a, b in ((x, p), (f, m), (s, v))
            )
            return off, 2.0**-23

        return Case(
            "adamw",
            f"P {rows * columns}",
            "f64",
            28.0 * rows * columns,
            14.0 * rows * columns,
            ours,
            {"PyTorch AdamW(fused=True)": fused.step},
            error,
        )

    def fourier(self, p, dtype):
        t = self.torch
        h = (p - 1) // 2
        logits = self.normal(p * p, p, seed=14, dtype=dtype, scale=3)
        families = t.eye(h, dtype=t.uint8, device=self.device)
        groups = (self.normal(p * p, seed=15) > -0.5).to(t.uint8) + 1
        loss = self.empty(h, 2, dtype="float64")
        args = Fourier(c.sizeof(Fourier))
        args.logits, args.modulus = matrix(logits), p
        args.families, args.family_count = pointer(families), h
        args.groups, args.group_count = pointer(groups), 2
        keep = (logits, families, groups, loss)
        ours = self.call("assay_fourier_ablate", args, [pointer(loss)], keep)
        s = t.arange(p, device=self.device)
        s = (s[:, None] + s[None, :]).flatten()
        waves = [
            f(2 * math.pi * k * s.double() / p) * math.sqrt(2) / p
            for k in range(1, h + 1)
            for f in (t.cos, t.sin)
        ]
        waves = t.stack(waves).reshape(h, 2, p * p)
        label = s % p
        masks = t.stack([(groups == 1), (groups == 2)]).double()
        masks = masks / masks.sum(1, keepdim=True)

        def torch_each():
            x = logits.double()
            out = []
            for k in range(h):
                left = x - waves[k].T @ (waves[k] @ x)
                out.append(masks @ t.nn.functional.cross_entropy(left, label, reduction="none"))
            return t.stack(out)

        def error():
            ours()
            want = torch_each()
            return float(((loss - want).abs() / want).max()), 1e-9

        size = logits.element_size()
        return Case(
            "fourier_ablate",
            f"p {p}, F {h}, {dtype} logits",
            "f64",
            p**3 * size + p * p,
            2.0 * p**3 * h + 2.0 * p**3 * 2 * h,
            ours,
            {"PyTorch": torch_each},
            error,
            [],
            [loss],
        )

    def attention(self, prompts, positions, heads, width):
        t = self.torch
        d = heads * width
        at = t.arange(positions).repeat_interleave(heads)
        starts = at.repeat(prompts).to(t.int32).to(self.device)
        of = t.arange(prompts).repeat_interleave(len(at)).to(t.int32).to(self.device)
        sequences = prompts * len(at)
        lengths = positions - at
        rows = int(lengths.sum()) * prompts
        q, k, v = (self.normal(rows, d, seed=s) for s in (16, 17, 18))
        past_k, past_v = (self.normal(prompts * positions, d, seed=s) for s in (19, 20))
        out = self.empty(rows, d)
        args = Attention(c.sizeof(Attention))
        args.queries, args.keys, args.values = matrix(q), matrix(k), matrix(v)
        args.past_keys, args.past_values = matrix(past_k), matrix(past_v)
        args.prompts, args.starts = pointer(of), pointer(starts)
        args.sequences, args.positions, args.heads = sequences, positions, heads
        args.scale = width**-0.5
        to = matrix(out)
        keep = (q, k, v, past_k, past_v, of, starts, out, to)
        ours = self.call("assay_suffix_attention", args, [c.byref(to)], keep)

        # The whole sequences, of which PyTorch computes every row.
        sequence = t.arange(sequences, device=self.device)
        position = t.arange(positions, device=self.device)
        own = position[None, :] >= starts[:, None]
        own_rows = own.flatten().nonzero()[:, 0]

        def whole(rows_of, past):
            x = past.view(prompts, positions, d)[of.long()].reshape(-1, d)
            x[own_rows] = rows_of
            return x.view(sequences, positions, heads, width).transpose(1, 2).contiguous()

        wholes = [whole(q, t.zeros_like(past_k)), whole(k, past_k), whole(v, past_v)]

        def torch_whole():
            return t.nn.functional.scaled_dot_product_attention(*wholes, is_causal=True)

        def error():
            ours()
            worst = 0.0
            for first in range(0, sequences, 2048):
                part = slice(first, min(first + 2048, sequences))
                x = [w[part].double() for w in wholes]
                y = t.nn.functional.scaled_dot_product_attention(*x, is_causal=True)
                y = y.transpose(1, 2).reshape(-1, d)
                mine = (own_rows >= first * positions) & (own_rows < part.stop * positions)
                worst = max(worst, largest(y[own_rows[mine] - first * positions] - out[mine]))
            return worst, 1e-5

        keys = prompts * heads * sum((positions - a) * (a + positions + 1) / 2 for a in range(positions))
        return Case(
            "suffix_attention",
            f"{prompts} x {positions} x {heads} sequences of {positions}, d {d}",
            "f32",
            4.0 * (4 * rows + 2 * prompts * positions) * d,
            4.0 * keys * d,
            ours,
            {"PyTorch, whole sequences": torch_whole},
            error,
        )

    def patch(self, prompts, positions, heads, width, normed):
        t = self.torch
        d = heads * width
        n = prompts * positions
        live, bank = (self.normal(n, d, seed=s) for s in (21, 22))
        output = self.normal(d, d, seed=23, scale=0.02)
        stream = self.normal(n, d, seed=24)
        scale, bias = (self.normal(d, seed=s) for s in (25, 26))
        rows = t.arange(n, dtype=t.int32, device=self.device)
        sources = (rows + n)[:, None].repeat(1, heads).contiguous()
        middle, norm = (self.empty(n * heads, d) for _ in range(2))
        args = PatchRows(c.sizeof(PatchRows))
        args.live, args.bank, args.output, args.stream = (
            matrix(x) for x in (live, bank, output, stream)
        )
        args.rows, args.sources = pointer(rows), pointer(sources)
        args.count, args.heads, args.epsilon, args.norm = n, heads, 1e-5, LAYER_NORM
        args.scale, args.bias = pointer(scale), pointer(bias)
        to, then = matrix(middle), matrix(norm)
        keep = (live, bank, output, stream, rows, sources, scale, bias, middle, norm, to, then)
        outputs = [c.byref(to), c.byref(then) if normed else c.c_void_p()]
        ours = self.call("assay_patch_rows", args, outputs, keep)
        at, of = rows.long(), sources.long()

        def patched(live, bank, output, stream):
            z = t.cat([live, bank]).view(2 * n, heads, width)
            change = z[of, t.arange(heads, device=self.device)] - z[at]
            added = t.einsum("nhk,hkd->nhd", change, output.view(heads, width, d))
            return (stream[at][:, None] + added).reshape(n * heads, d)

        def torch_rows():
            x = patched(live, bank, output, stream)
            return t.nn.functional.layer_norm(x, (d,), scale, bias, 1e-5) if normed else x

        def error():
            ours()
            x = patched(*(x.double() for x in (live, bank, output, stream)))
            worst = largest(x - middle)
            if normed:
                y = t.nn.functional.layer_norm(x, (d,), scale.double(), bias.double(), 1e-5)
                worst = max(worst, largest(y - norm))
            return worst, 1e-4

        return Case(
            "patch_rows",
            f"{prompts} x {positions} x {heads} copies, d {d}" + (", norm" if normed else ""),
            "f32",
            4.0 * (n * heads * d * (2 if normed else 1) + 3 * n * d + d * d),
            2.0 * n * d * d,
            ours,
            {"PyTorch": torch_rows},
            error,
        )

    def edges(self, positions, layers, heads, width):
        """The components of a decoder: its sources and destinations, which of them come before which."""
        t = self.torch
        sources = 1 + layers * (heads + 1)
        before = [1 + i * (heads + 1) + e for i in range(layers) for e in [0] * 3 * heads + [heads]]
        before = t.tensor(before + [sources], dtype=t.int32, device=self.device)
        destinations = len(before)
        changes = self.normal(sources, positions * width, seed=27)
        gradients = self.normal(destinations, positions * width, seed=28)
        scores = self.empty(sources, destinations, dtype="float64")
        args = EdgeScores(c.sizeof(EdgeScores), matrix(changes), matrix(gradients))
        args.before, args.width = pointer(before), width
        keep = (changes, gradients, before, scores)
        ours = self.call("assay_edge_scores", args, [pointer(scores)], keep)

        def torch_product():
            return changes @ gradients.T

        def error():
            ours()
            edge = t.arange(sources, device=self.device)[:, None] < before[None]
            want = (changes.double() @ gradients.double().T) * edge
            size = float((changes.abs() @ gradients.abs().T).max())
            return largest(scores - want), gamma(width + 2) * size

        count = int(before.sum())
        return Case(
            "edge_scores",
            f"{sources} x {destinations}, {count} edges, {positions} positions, d {width}",
            "f32",
            4.0 * (sources + destinations) * positions * width + 8.0 * sources * destinations,
            2.0 * count * positions * width,
            ours,
            {"PyTorch, all cells": torch_product},
            error,
        )

    def all(self, small):
        """Generator of functions that make a case or a list of them."""
        v, d = (1301, 24) if small else (50257, 768)
        audits = (1, 3, FEW + 2) if small else (1, 8, 32, 256)
        kept = 5 if small else 32
        rows = (3, 17) if small else (64, 512, 6144)
        for dtype in ("float32", "bfloat16"):
            for a in audits:
                yield lambda: self.token_swap(a, v, d, kept, dtype)
            for r in rows:
                yield lambda: self.heads(r, v, d, dtype)
        self.tables.clear()
        for n in (2000,) if small else (226816, 124439808):
            yield lambda: self.adamw(n, 20 if small else 64)
        for dtype in ("float32", "float64"):
            yield lambda: self.fourier(13 if small else 113, dtype)
        for n in (2,) if small else (1, 100):
            yield lambda: self.attention(n, *((5, 2, 8) if small else (15, 12, 64)))
            for normed in (False, True):
                yield lambda: self.patch(n, *((5, 2, 8) if small else (15, 12, 64)), normed)
        yield lambda: self.edges(*((3, 2, 2, 8) if small else (15, 12, 12, 768)))


def gamma(n):
    u = 2.0**-24
    return n * u / (1 - n * u)


def largest(x):
    """NaN counts as infinite."""
    x = x.abs().max().item()
    return math.inf if math.isnan(x) else x


def rate(dtype):
    return {"float32": "f32", "float64": "f64", "bfloat16": "bf16"}[dtype]
