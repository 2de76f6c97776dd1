#!/bin/sh
# Builds libassay.so for release into OUTDIR/native/OS-ARCH, the folder that the jar carries; objects
# go to BUILDDIR. Without a C++ compiler or CMake it says so and
# succeeds: the portable kernels are used then.
set -eu
if [ $# -ne 2 ]; then
  echo "usage: native/build.sh BUILDDIR OUTDIR" >&2
  exit 2
fi
out=$1
resources=$2/native/$(uname -s | tr '[:upper:]' '[:lower:]')-$(uname -m)
root=$(cd "$(dirname "$0")/.." && pwd)
for tool in cmake "${CXX:-c++}"; do
  if ! command -v "$tool" >/dev/null 2>&1; then
    echo "native kernels are not built: $tool was not found; the portable kernels will be used"
    exit 0
  fi
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
cmake -S "$root" -B "$out/cmake" -DCMAKE_BUILD_TYPE=Release -DASSAY_TESTS=OFF \
  -DASSAY_CUDA=OFF >"$out/build.log" 2>&1 &&
  cmake --build "$out/cmake" --parallel 2 >>"$out/build.log" 2>&1 || {
  cat "$out/build.log" >&2
  exit 1
}
mkdir -p "$resources"
cp "$out/cmake/native/libassay.so" "$resources/libassay.so.new"
mv "$resources/libassay.so.new" "$resources/libassay.so"
echo "native kernels are built: $resources/libassay.so"
