#!/usr/bin/env python3
"""Builds, tests and times the CUDA kernels on this machine's device: see README.md beside this."""

import argparse
import datetime
import json
import lzma
import os
import re
import shutil
import statistics
import subprocess
import sys
import tarfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RESULTS = ROOT / "bench" / "results"
PARTS = ("build", "test", "time", "sanitize", "check")
NOT_MEASURED = "not yet measured on a device"


class Deadline:
    def __init__(self, minutes):
        self.end = time.monotonic() + 60 * minutes

    def left(self):
        return max(0.0, self.end - time.monotonic())


def say(text):
    print(text, flush=True)


def find(name, *folders):
    """A program on the PATH, beside this Python, or in one of the folders; None if nowhere."""
    beside = os.path.dirname(sys.executable)
    path = os.pathsep.join([os.environ.get("PATH", ""), beside, *map(str, folders)])
    return shutil.which(name, path=path)


def toolkit():
    fetched = (ROOT / "build" / "cuda").glob("lib/python3*/site-packages/nvidia/cu13/bin")
    home = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    return [home / "bin", "/usr/local/cuda/bin", *fetched]


def output(*command):
    """What a command says, or "" where it cannot be run."""
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    except OSError:
        return ""


def missing(parts, folder, java, emulated):
    """What the parts need and this machine lacks, with what to do: a sentence each."""
    if "build" in parts:
        if find("cmake") is None:
            yield "CMake was not found: pip install cmake"
        compiler = os.environ.get("CXX", "c++")
        if find(compiler) is None:
            yield f"the C++ compiler {compiler} was not found: install g++, or let CXX name another"
        if find("nvcc", *toolkit()) is None and not emulated:
            places = "on the PATH, in CUDA_HOME or in /usr/local/cuda"
            yield f"nvcc was not found {places}: install CUDA 13.0, or run cuda/toolkit.sh"
    elif not library_file(folder, emulated).exists():
        yield f"{library_file(folder, emulated)} is not built: let --parts begin with build"
    if java and not java.is_file():
        yield f"{java} is not there: bench/device/java.sh makes it where there is a JDK"
    if parts == ["build"]:
        return
    try:
        import torch
    except ImportError as e:
        remedy = "pip install torch, or call this script by a Python that has it"
        yield f"{sys.executable} has no PyTorch ({e}): {remedy}"
        return
    if emulated:
        return
    if not torch.cuda.is_available():
        yield "PyTorch sees no CUDA device: look at nvidia-smi; --emulated checks without one"
    elif torch.cuda.get_device_capability() < (8, 0):
        yield f"{torch.cuda.get_device_name()} is older than compute capability 8.0: take another"


def build(folder, emulated):
    """Builds the two libraries and their tests, or ends with the reason."""
    cmake, nvcc, ninja = find("cmake"), find("nvcc", *toolkit()), find("ninja")
    configure = [cmake, "-S", str(ROOT), "-B", str(folder), "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DCMAKE_MAKE_PROGRAM={ninja}", "-G", "Ninja"] if ninja else []
    configure += [f"-DASSAY_NVCC={nvcc}"] if nvcc and not emulated else []
    # Warnings are errors; but what a compiler says that we do not know is no reason to stop here.
    configure += ["-DCMAKE_C_FLAGS=-w", "-DCMAKE_CXX_FLAGS=-w"]
    quiet = os.environ | {"NVCC_APPEND_FLAGS": "-w -Xcompiler=-w"}
    targets = ["assay_cuda_emulated"]
    if not emulated:
        targets = ["assay", "kernels_test", "assay_cuda", "cuda_device_test"]
    make = [cmake, "--build", str(folder), "--parallel", str(os.cpu_count())]
    began = time.monotonic()
    for command in (configure, make + ["--target", *targets]):
        made = subprocess.run(command, capture_output=True, text=True, env=quiet)
        if made.returncode != 0:
            raise SystemExit(f"{' '.join(command)} fails:\n{(made.stdout + made.stderr)[-6000:]}")
    say(f"built in {time.monotonic() - began:.0f} s")


def run_one(row, command, deadline, limit):
    """Runs a test; the row with its state, and its last lines where it did not pass."""
    seconds = min(limit, deadline.left())
    if seconds < 5:
        return row | {"state": "skipped", "reason": "no time was left"}
    began = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        state = {0: "passed", 77: "skipped"}.get(done.returncode, "failed")
        text = (done.stdout + done.stderr).strip()
    except subprocess.TimeoutExpired:
        state, text = "not finished", f"ended after {seconds:.0f} s"
    row = row | {"state": state, "seconds": round(time.monotonic() - began, 1)}
    return row if state == "passed" else row | {"reason": text[-1500:]}


def java_test(folder, packed, emulated, deadline):
    """The row of the kernels by way of Java, by what java.sh has packed."""
    row = {"kind": "test", "what": "CUDA by way of Java"}
    if packed is None:
        return row | {"state": "skipped", "reason": "no Java was brought (--java)"}
    java = folder / "device-java"
    shutil.rmtree(java, ignore_errors=True)
    try:
        with tarfile.open(packed) as archive:
            archive.extractall(folder, filter="tar")
    except (OSError, EOFError, lzma.LZMAError, tarfile.TarError) as e:
        return row | {"state": "failed", "reason": f"{packed} cannot be unpacked: {e}"}
    command = [
        java / "bin" / "java",
        "--enable-native-access=ALL-UNNAMED",
        f"-Dassay.cuda.library={library_file(folder, emulated)}",
        "-cp",
        f"{java}/app/classes:{java}/app/*",
        "io.assay.engine.kernel.CudaCheck",
    ]
    return run_one(row, command, deadline, 120)


def groups(folder):
    test = folder / "cuda" / "cuda_device_test"
    return subprocess.check_output([test, "--groups"], text=True).split()


def tests(folder, java, deadline):
    native = [folder / "native" / "test" / "kernels_test"]
    yield run_one({"kind": "test", "what": "native kernels"}, native, deadline, 240)
    for group in groups(folder):
        row = {"kind": "test", "what": f"CUDA {group}"}
        yield run_one(row, [folder / "cuda" / "cuda_device_test", group], deadline, 240)
    yield java_test(folder, java, False, deadline)


def sanitizer(folder, deadline):
    """
    Small cases with an allocation for each array, for accesses outside of them and for what was
    never written; the contract tests for races and barriers.
    """
    tool = find("compute-sanitizer", *toolkit())
    if tool is None:
        reason = "compute-sanitizer was not found"
        yield {"kind": "sanitizer", "tool": "all", "state": "skipped", "reason": reason}
        return
    os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"
    begin = [tool, "--error-exitcode", "9", "--kernel-name", "kns=assay", "--tool"]
    for check in ("memcheck", "initcheck"):
        row = {"kind": "sanitizer", "tool": check, "what": "small cases"}
        command = [*begin, check, sys.executable, __file__, "--parts", "check", "--small"]
        yield run_one(row, command + ["--build", folder], deadline, 150)
    for check in ("racecheck", "synccheck"):
        for group in groups(folder)[1:]:
            row = {"kind": "sanitizer", "tool": check, "what": f"CUDA {group}"}
            command = [*begin, check, folder / "cuda" / "cuda_device_test", group]
            yield run_one(row, command, deadline, 90)


def library_file(folder, emulated):
    return folder / "cuda" / f"libassay_cuda{'_emulated' if emulated else ''}.so"


def library(folder, emulated):
    from abi import Library

    return Library(library_file(folder, emulated))


def cases(torch, folder, emulated, small):
    from kernels import Cases

    device = "cpu" if emulated else "cuda"
    for make in Cases(torch, library(folder, emulated), device).all(small):
        made = make()
        yield from made if isinstance(made, list) else [made]
        del made
        if not emulated:
            torch.cuda.empty_cache()


def checked(case, rows):
    error, bound = case.error()
    holds = error <= bound
    say(f"{case.bench}, {case.shape}: error {error:.2g}, bound {bound:.2g}{'' if holds else ' FAILS'}")
    if not holds:
        reason = f"error {error:.3g} against float64, bound {bound:.3g}"
        rows.append(dict(kind="time", bench=case.bench, shape=case.shape, state="wrong", reason=reason))
    return holds


def check(torch, folder, emulated, small):
    """Ours against float64, and that PyTorch's forms run; nothing is timed."""
    wrong = []
    for case in cases(torch, folder, emulated, small):
        checked(case, wrong)
        for baseline in case.baselines.values():
            baseline()
    return wrong


class Clock:
    """Seconds on the device's clock, medians."""

    def __init__(self, torch):
        self.torch = torch
        l2 = torch.cuda.get_device_properties(0).L2_cache_size
        self.flush = torch.empty(max(4 * l2, 1 << 26), dtype=torch.uint8, device="cuda")

    def between(self, call, repeat=1):
        first, last = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(repeat):
            call()
        last.record()
        return first, last

    def once(self, call, cold):
        """cold: the second cache holds something else, and the device is busy while we queue."""
        if cold:
            self.flush.zero_()
        first, last = self.between(call)
        last.synchronize()
        return first.elapsed_time(last) / 1e3

    def together(self, calls, cold):
        """The calls in turn, so that what disturbs one disturbs all; (median of each, runs)."""
        for call in calls:
            call()
        one = sum(statistics.median(self.once(call, cold) for _ in range(3)) for call in calls)
        runs = int(min(100, max(11, 1.0 / one)))
        if cold:
            times = [[self.once(call, True) for call in calls] for _ in range(runs)]
        else:
            times = []
            for _ in range(11):
                row = []
                for call in calls:
                    first, last = self.between(call, max(1, runs // 11))
                    last.synchronize()
                    row.append(first.elapsed_time(last) / 1e3 / max(1, runs // 11))
                times.append(row)
        return [statistics.median(column) for column in zip(*times)], runs

    def with_copies(self, case):
        """Wall seconds of a call: inputs from pinned memory, the kernel, outputs back, waited for."""
        host = [(x.cpu().pin_memory(), x) for x in case.uploads]
        back = [(x.cpu().pin_memory(), x) for x in case.downloads]
        times = []
        for _ in range(21):
            self.torch.cuda.synchronize()
            began = time.perf_counter()
            for of, x in host:
                x.copy_(of, non_blocking=True)
            case.ours()
            for to, x in back:
                to.copy_(x, non_blocking=True)
            self.torch.cuda.synchronize()
            times.append(time.perf_counter() - began)
        return statistics.median(times)


def roofs(torch, clock):
    """What the device reaches: a large copy (read and written), large products on drawn numbers."""
    found = {}
    x = torch.randn(1 << 29, device="cuda")
    y = torch.empty_like(x)
    found["copy_bytes_per_s"] = 2 * x.numel() * 4 / statistics.median(
        clock.once(lambda: y.copy_(x), False) for _ in range(11)
    )
    for name, dtype, n in (("f32", "float32", 8192), ("bf16", "bfloat16", 8192), ("f64", "float64", 4096)):
        a, b = (torch.randn(n, n, device="cuda").to(getattr(torch, dtype)) for _ in range(2))
        product = lambda: a @ b
        product()
        seconds = statistics.median(clock.once(product, False) for _ in range(7))
        found[name + "_flop_per_s"] = 2.0 * n**3 / seconds
    return found


def machine(torch, commit):
    p = torch.cuda.get_device_properties(0)
    smi = find("nvidia-smi", "/usr/local/nvidia/bin")
    ask = ("--query-gpu=driver_version", "--format=csv,noheader")
    nvcc = output(find("nvcc", *toolkit()) or "nvcc", "--version")
    return {
        "kind": "machine",
        "device": p.name,
        "capability": f"{p.major}.{p.minor}",
        "multiprocessors": p.multi_processor_count,
        "memory_bytes": p.total_memory,
        "l2_bytes": p.L2_cache_size,
        "driver": (output(smi, *ask).split("\n")[0] if smi else "") or "unknown",
        "nvcc": (re.findall(r"V([\d.]+)", nvcc) or ["unknown"])[0],
        "torch": torch.__version__,
        "commit": commit or output("git", "rev-parse", "--short=12", "HEAD") or "unknown",
        "date": datetime.date.today().isoformat(),
    }


def compiled(torch, baseline, deadline):
    """torch.compile's form of a baseline, or None where it cannot be had in time."""
    if deadline.left() < 120:
        return None
    torch.compiler.reset()  # it gives up on a function that it has compiled for many shapes
    try:
        form = torch.compile(baseline)
        form()
        form()
        return form
    except Exception as e:  # whatever the compiler throws, the plain form is there
        say(f"torch.compile: {str(e).strip().splitlines()[0]}")
        return None


def timed(torch, case, clock, roof, deadline):
    """A row for each baseline and state of the second cache."""
    forms = dict(case.baselines)
    if not case.bench.startswith("adamw"):  # which is one kernel already
        for name, baseline in case.baselines.items():
            form = compiled(torch, baseline, deadline)
            forms |= {name + ", compiled": form} if form else {}
    floor = max(case.bytes / roof["copy_bytes_per_s"], case.operations / roof[case.rate + "_flop_per_s"])
    copies = clock.with_copies(case)
    for cold in (True, False):
        (ours, *others), runs = clock.together([case.ours, *forms.values()], cold)
        for (name, seconds) in zip(forms, others):
            yield {
                "kind": "time",
                "bench": case.bench,
                "shape": case.shape,
                "state": "right",
                "cache": "cold" if cold else "warm",
                "clock": "events",
                "ours_s": ours,
                "baseline": name,
                "baseline_s": seconds,
                "ratio": seconds / ours,
                "floor_s": floor,
                "share_of_roof": floor / ours,
                "baseline_share_of_roof": floor / seconds,
                "call_s": copies,
                "runs": runs,
            }


def slug(device):
    return re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")


def micro(seconds):
    return f"{seconds * 1e6:,.1f}" if seconds < 1e-3 else f"{seconds * 1e6:,.0f}"


def sections(rows):
    """Lines of Markdown about one device."""
    m = next(r for r in rows if r["kind"] == "machine")
    yield f"## {m['device']}"
    yield ""
    yield (
        f"Capability {m['capability']}, {m['multiprocessors']} multiprocessors, driver {m['driver']}, nvcc "
        f"{m['nvcc']}, PyTorch {m['torch']}, commit {m['commit']}, {m['date']}."
    )
    if "copy_bytes_per_s" in m:
        rates = ", ".join(f"{k} {m[k + '_flop_per_s'] / 1e12:.1f}" for k in ("f32", "bf16", "f64"))
        yield f"Copy {m['copy_bytes_per_s'] / 1e12:.2f} TB/s, read and written; products, TFLOP/s: {rates}."
    yield ""
    others = [r for r in rows if r["kind"] in ("test", "sanitizer")]
    if others:
        yield "| test | state | seconds |"
        yield "|---|---|---|"
        for r in others:
            what = " ".join(x for x in (r.get("tool"), r.get("what")) if x)
            reason = "" if r["state"] == "passed" else ": " + r.get("reason", "").split("\n")[-1][:100]
            yield f"| {what} | {r['state']}{reason} | {r.get('seconds', '')} |"
        yield ""
    times = {}
    for r in rows:
        if r["kind"] == "time":
            times.setdefault((r["bench"], r["shape"]), []).append(r)
    if not times:
        yield f"Times: {NOT_MEASURED}."
        yield ""
        return
    yield "Times in microseconds; a ratio above 1: ours is faster."
    yield ""
    yield "| bench | shape | floor | ours | of roof | cache warm | others | ratio | call |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for (bench, shape), group in times.items():
        if group[-1]["state"] != "right":
            yield f"| {bench} | {shape} | | {group[-1]['state']}: {group[-1]['reason']} | | | | | |"
            continue
        cold = [r for r in group if r["cache"] == "cold"]
        warm = [micro(r["ours_s"]) for r in group if r["cache"] == "warm"]
        best = min(cold, key=lambda r: r["baseline_s"])
        others = "; ".join(f"{r['baseline']} {micro(r['baseline_s'])}" for r in cold)
        cells = [bench, shape, micro(best["floor_s"]), micro(best["ours_s"])]
        cells += [f"{100 * best['share_of_roof']:.0f} %", warm[0] if warm else "", others]
        yield "| " + " | ".join(cells + [f"{best['ratio']:.2f}", micro(best["call_s"])]) + " |"
    yield ""


def table(folder):
    """The text of README.md for the results in a folder."""
    files = sorted(Path(folder).glob("*.jsonl"))
    lines = ["# CUDA kernels on devices", ""]
    lines += ["Written by `bench/device/run.py`; its [README](../device/README.md) says what the columns are.", ""]
    for file in files:
        lines += sections([json.loads(line) for line in file.read_text().splitlines()])
    return "\n".join(lines if files else lines + [f"All kernels: {NOT_MEASURED}.", ""])


def write_table(out):
    (out / "README.md").write_text(table(out))
    return out / "README.md"


def write(out, rows):
    out.mkdir(parents=True, exist_ok=True)
    file = out / (slug(rows[0]["device"]) + ".jsonl")
    file.write_text("".join(json.dumps(r) + "\n" for r in rows))
    write_table(out)


def measure(options, deadline):
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    rows = [machine(torch, options.commit)]
    parts = []
    if "test" in options.parts:
        parts.append(tests(options.build, options.java, deadline))
    if "time" in options.parts:
        parts.append(times(torch, options, rows, deadline))
    if "sanitize" in options.parts:
        parts.append(sanitizer(options.build, deadline))
    for part in parts:
        for row in part:
            rows.append(row)
            write(options.out, rows)  # at once: what a limit ends is not lost
            if row["kind"] != "time":
                say(" ".join(str(row.get(k, "")) for k in ("tool", "what", "state", "reason")).strip())
    say((options.out / "README.md").read_text())
    return [r for r in rows[1:] if r["state"] in ("failed", "wrong")]


def times(torch, options, rows, deadline):
    clock = Clock(torch)
    rows[0] |= roofs(torch, clock)
    wrong = []
    for case in cases(torch, options.build, False, options.small):
        if deadline.left() < 20:
            say(f"{case.bench}, {case.shape}: no time was left")
        elif checked(case, wrong):
            try:
                yield from timed(torch, case, clock, rows[0], deadline)
            except RuntimeError as e:  # of the device, of its memory: the other cases go on
                row = dict(kind="time", bench=case.bench, shape=case.shape, state="failed")
                yield row | {"reason": str(e).strip().splitlines()[0]}
        else:
            yield wrong.pop()


def checked_parts(text):
    parts = text.split(",")
    unknown = [repr(part) for part in parts if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: known are {', '.join(PARTS)}")
    if "check" in parts and set(parts) - {"build", "check"}:
        raise argparse.ArgumentTypeError("check goes with build only")
    return parts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    default = ",".join(PARTS[:4])
    parts = f"of {','.join(PARTS)} (default {default}); check compares with float64 and times nothing"
    add = parser.add_argument
    add("--parts", type=checked_parts, default=default, help=parts)
    add("--build", type=Path, default=ROOT / "build" / "device", help="build folder (default build/device)")
    add("--out", type=Path, default=RESULTS, help="folder of results (default bench/results)")
    add("--minutes", type=float, default=9, help="begin nothing after these (default 9)")
    add("--commit", help="what is measured, where there is no git")
    add("--java", type=Path, help="the file that java.sh has made")
    add("--small", action="store_true", help="small shapes")
    add("--emulated", action="store_true", help="build and check small cases by host emulation, no device")
    add("--table", action="store_true", help="only write the table of the results")
    options = parser.parse_args()
    deadline = Deadline(options.minutes)
    if options.table:
        if not options.out.is_dir():
            parser.error(f"--out: there is no folder {options.out}")
        say(write_table(options.out))
        return 0
    options.build = options.build.resolve()
    lacking = list(missing(options.parts, options.build, options.java, options.emulated))
    if lacking:
        parser.exit(2, "".join(f"{reason}\n" for reason in lacking))
    options.build.mkdir(parents=True, exist_ok=True)
    if "build" in options.parts:
        build(options.build, options.emulated)
    if options.parts == ["build"]:
        return 0
    if options.emulated or "check" in options.parts:
        import torch

        wrong = check(torch, options.build, options.emulated, options.small or options.emulated)
        if options.java:
            row = java_test(options.build, options.java, options.emulated, deadline)
            say(" ".join(str(row.get(k, "")) for k in ("what", "state", "reason")))
            wrong += [row] if row["state"] != "passed" else []
        return 1 if wrong else 0
    return 1 if measure(options, deadline) else 0


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    sys.exit(main())
