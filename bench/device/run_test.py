"""What can be tested of the device bench without a device: python3 run_test.py LIBRARY."""

import json
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

import abi
import run


def time_row(baseline, seconds, cache):
    row = dict(kind="time", bench="adamw", shape="P 9", state="right", cache=cache, ours_s=2e-6)
    row |= dict(baseline=baseline, baseline_s=seconds, ratio=seconds / 2e-6, floor_s=1e-6)
    return row | dict(share_of_roof=0.5, call_s=0.00345)


class RunTest(unittest.TestCase):
    def test_structs_are_those_of_the_library(self):
        self.assertIn("CUDA", abi.Library(LIBRARY).build_id)

    def test_a_struct_that_differs_is_named(self):
        right = abi.AdamW
        abi.AdamW = abi.struct("assay_adamw_params", "beta1:d learning_rate:d step:l")
        try:
            with self.assertRaisesRegex(SystemExit, "has the struct .'assay_adamw_params 56"):
                abi.Library(LIBRARY)
        finally:
            abi.AdamW = right

    def test_all_that_is_missing_is_said_at_once(self):
        none = mock.patch.object(run, "find", return_value=None)
        no_torch = mock.patch.dict(sys.modules, torch=None)
        with none, no_torch:
            said = list(run.missing(["build", "time"], Path("b"), Path("no.tar.xz"), False))
            self.assertEqual(len(list(run.missing(["build"], Path("b"), None, True))), 2)
        parts = ("CMake", "compiler", "nvcc", "no.tar.xz", "PyTorch")
        self.assertEqual(len(said), len(parts))
        for text, part in zip(said, parts):
            self.assertIn(part, text)
            self.assertRegex(text, ": .*(install|let|run|makes)")

    def test_a_device_that_is_not_there_or_too_old_is_said(self):
        cuda = types.SimpleNamespace(is_available=lambda: False)
        torch = types.SimpleNamespace(cuda=cuda)
        with mock.patch.dict(sys.modules, torch=torch), tempfile.TemporaryDirectory() as folder:
            built = run.library_file(Path(folder), False)
            self.assertIn("not built", list(run.missing(["time"], Path(folder), None, False))[0])
            built.parent.mkdir()
            built.touch()
            self.assertIn("no CUDA device", *run.missing(["time"], Path(folder), None, False))
            cuda.is_available = lambda: True
            cuda.get_device_name = lambda: "NVIDIA X0"
            for capability, sentences in (((7, 5), 1), ((8, 0), 0), ((12, 0), 0)):
                cuda.get_device_capability = lambda: capability
                self.assertEqual(len(list(run.missing(["time"], Path(folder), None, False))), sentences)

    def test_wrong_arguments_are_refused_in_a_line(self):
        with tempfile.TemporaryDirectory() as folder:
            absent = str(Path(folder, "absent"))
            for wrong, text in (
                (["--parts", "build,tset"], "'tset': known are build, test, time, sanitize, check"),
                (["--parts", "test,check"], "check goes with build only"),
                (["--table", "--out", absent], f"there is no folder {absent}"),
                (["--parts", "time", "--build", absent], "is not built"),
            ):
                command = [sys.executable, run.__file__, *wrong]
                done = subprocess.run(command, capture_output=True, text=True)
                self.assertEqual(done.returncode, 2)
                self.assertIn(text, done.stderr)
                self.assertNotIn("Traceback", done.stderr)

    def test_a_java_that_cannot_be_unpacked_fails_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            packed = Path(folder, "java.tar.xz")
            packed.write_text("none")
            row = run.java_test(Path(folder), packed, False, run.Deadline(1))
        self.assertEqual(row["state"], "failed")
        self.assertIn("cannot be unpacked", row["reason"])

    def test_table(self):
        machine = dict(kind="machine", device="NVIDIA X1", capability="9.0", multiprocessors=2)
        machine |= dict(driver="1", nvcc="13.0.88", torch="2", commit="abc", date="2026-01-01")
        rows = [
            machine | dict(copy_bytes_per_s=4e12, f32_flop_per_s=5e13, bf16_flop_per_s=8e14, f64_flop_per_s=6e13),
            dict(kind="test", what="CUDA adamw", state="passed", seconds=1.5),
            dict(kind="sanitizer", tool="memcheck", what="small cases", state="failed", reason="a\nb"),
            time_row("PyTorch", 8e-6, "cold"),
            time_row("PyTorch, compiled", 5e-6, "cold"),
            time_row("PyTorch", 7e-6, "warm"),
            time_row("PyTorch", 9e-6, "cold") | dict(shape="P 7"),  # ended before the rest
            dict(kind="time", bench="fourier_ablate", shape="p 5", state="wrong", reason="error 1"),
        ]
        with tempfile.TemporaryDirectory() as folder:
            self.assertIn(run.NOT_MEASURED, run.table(folder))
            run.write(Path(folder), rows)
            lines = Path(folder, "nvidia-x1.jsonl").read_text().splitlines()
            self.assertEqual([json.loads(x) for x in lines], rows)
            text = Path(folder, "README.md").read_text()
        others = "PyTorch 8.0; PyTorch, compiled 5.0"
        self.assertIn(f"| adamw | P 9 | 1.0 | 2.0 | 50 % | 2.0 | {others} | 2.50 | 3,450 |", text)
        self.assertIn("| adamw | P 7 | 1.0 | 2.0 | 50 % |  | PyTorch 9.0 |", text)
        self.assertIn("| fourier_ablate | p 5 | | wrong: error 1 |", text)
        self.assertIn("Times in microseconds", text)
        self.assertIn("Copy 4.00 TB/s, read and written; products, TFLOP/s: f32 50.0", text)
        self.assertIn("| memcheck small cases | failed: b |  |", text)
        self.assertNotIn(run.NOT_MEASURED, text)

    def test_the_table_is_that_of_the_results(self):
        self.assertEqual((run.RESULTS / "README.md").read_text(), run.table(run.RESULTS))


if __name__ == "__main__":
    LIBRARY = sys.argv.pop(1)
    unittest.main()
