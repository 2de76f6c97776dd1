"""The C ABI of assay.h as far as the CUDA library has it, as Python calls."""

import ctypes as c

F32, F64, F16, BF16 = 1, 2, 3, 4


class Matrix(c.Structure):
    _fields_ = [("data", c.c_void_p), ("dtype", c.c_int32), ("reserved", c.c_int32)] + [
        (name, c.c_int64) for name in ("rows", "columns", "stride")
    ]


def struct(name, fields):
    """fields: "name:m" a matrix, ":p" a pointer, ":l" int64, ":i" int32, ":d" double."""
    kinds = {"m": Matrix, "p": c.c_void_p, "l": c.c_int64, "i": c.c_int32, "d": c.c_double}
    pairs = [(f[:-2], kinds[f[-1]]) for f in fields.split()]
    return type(name, (c.Structure,), {"_fields_": [("struct_bytes", c.c_int64)] + pairs})


TokenSwap = struct(
    "assay_token_swap_topk_params",
    "embedding:m head:m gradient:m hidden:m alpha:p bias:p unigram:p allowed:p forbidden_offsets:p "
    "forbidden_ids:p kept:l ids:p scores:p found:p nans:p lse:p coarse:m coarse_scale:p "
    "coarse_error:p",
)
HeadRows = struct("assay_head_rows_params", "hidden:m head:m bias:p targets:p")
Fourier = struct(
    "assay_fourier_ablate_params",
    "logits:m modulus:l families:p family_count:l groups:p group_count:l keep:i rotation:i "
    "next:p",
)
AdamW = struct(
    "assay_adamw_params",
    "learning_rate:d beta1:d beta2:d epsilon:d weight_decay:d step:l",
)
Attention = struct(
    "assay_suffix_attention_params",
    "queries:m keys:m values:m past_keys:m past_values:m prompts:p starts:p sequences:l "
    "positions:l heads:l scale:d",
)
PatchRows = struct(
    "assay_patch_rows_params",
    "live:m bank:m output:m stream:m rows:p sources:p count:l heads:l scale:p bias:p epsilon:d "
    "norm:i reserved:i",
)
LAYER_NORM = 1
EdgeScores = struct("assay_edge_scores_params", "changes:m gradients:m before:p width:l")


def layout_line(kind):
    offsets = [f"{name}={getattr(kind, name).offset}" for name, _ in kind._fields_]
    name = "assay_matrix" if kind is Matrix else kind.__name__
    return " ".join([name, str(c.sizeof(kind))] + offsets)


class Library:
    """libassay_cuda, or its emulation, whose device is the host."""

    def __init__(self, path):
        self.path = str(path)
        self.c = c.CDLL(self.path)
        for name in ("assay_last_error", "assay_build_id", "assay_struct_layout"):
            getattr(self.c, name).restype = c.c_char_p
        theirs = self.c.assay_struct_layout().decode().splitlines()
        for kind in (Matrix, TokenSwap, HeadRows, Fourier, AdamW, Attention, PatchRows, EdgeScores):
            line = layout_line(kind)
            if line not in theirs:
                got = [t for t in theirs if t.split()[0] == line.split()[0]]
                raise SystemExit(f"{path} has the struct {got}; abi.py has [{line!r}]")
        self.build_id = self.c.assay_build_id().decode()

    def stream(self, device, handle):
        out = c.c_void_p()
        self.check(self.c.assay_cuda_stream_create(device, c.c_void_p(handle), c.byref(out)))
        return out

    def check(self, status):
        if status != 0:
            raise RuntimeError(f"status {status}: {self.c.assay_last_error().decode()}")

    def workspace(self, name, args):
        size = c.c_int64()
        self.check(getattr(self.c, name + "_workspace")(c.byref(args), c.byref(size)))
        return size.value

    def caller(self, name, args, outputs, keep, device, stream, torch, query=None):
        """A function without arguments that queues the call; keep holds what it points to."""
        size = self.workspace(name, args if query is None else query)
        work = torch.empty(max(size, 1), dtype=torch.uint8, device=device)
        function = getattr(self.c, name)
        tail = [c.c_void_p(work.data_ptr()), c.c_int64(size), stream]
        call_with = [c.byref(args)] + list(outputs) + tail

        def call(held=(keep, args, work, outputs)):
            self.check(function(*call_with))

        return call


def matrix(t):
    code = {"float32": F32, "float64": F64, "float16": F16, "bfloat16": BF16}
    return Matrix(t.data_ptr(), code[str(t.dtype)[6:]], 0, t.shape[0], t.shape[1], t.stride(0))


def pointer(t):
    return c.c_void_p(t.data_ptr())
