#!/bin/sh
# Builds and tests the CUDA kernels in BUILDDIR: cuda/verify.sh BUILDDIR. They run under emulation;
# where nvcc is found they are compiled for every target too. cuda/verify.sh --sanitizers runs them in
# three orders of execution with sanitizers, as the preset emulated-cuda says. Without a C++ compiler or
# CMake one line and success.
set -eu
if [ $# -ne 1 ]; then
  echo "usage: cuda/verify.sh BUILDDIR | --sanitizers" >&2
  exit 2
fi
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in cmake "${CXX:-c++}"; do
  if ! command -v "$tool" >/dev/null 2>&1; then
    echo "CUDA kernels are not tested: $tool was not found"
    exit 0
  fi
done
if [ "$1" = --sanitizers ]; then
  mkdir -p "$root/build"
  log=$root/build/emulated-cuda.log
  (cd "$root" && cmake --workflow --preset emulated-cuda >"$log" 2>&1) || {
    cat "$log" >&2
    exit 1
  }
  grep 'tests passed' "$log" | sed 's/^/CUDA kernels under emulation and sanitizers: /'
  exit 0
fi
mkdir -p "$1"
build=$(cd "$1" && pwd)
cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release >"$build/build.log" 2>&1 &&
  cmake --build "$build" --parallel 2 --target cuda >>"$build/build.log" 2>&1 || {
  cat "$build/build.log" >&2
  exit 1
}
(cd "$build/cuda" && ctest --parallel 2 --output-on-failure --no-tests=error >"$build/test.log" 2>&1) || {
  cat "$build/test.log" >&2
  exit 1
}
sed -n 's/^-- \(CUDA kernels are .*\)/\1/p' "$build/build.log"
grep 'tests passed' "$build/test.log" | sed 's/^/CUDA kernels under emulation: /'
