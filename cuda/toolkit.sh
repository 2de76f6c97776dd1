#!/bin/sh
# Puts NVIDIA's compiler into DIR/cuda, a virtual environment of Python, where CMake finds it:
# cuda/toolkit.sh [DIR], by default build/. One line of output; nothing is done a second time.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
to=${1:-$root/build}/cuda
# The series that drivers from 580 on accept.
version=13.0.88
nvcc=$(find "$to" -path '*/bin/nvcc' 2>/dev/null | head -n 1)
if [ -z "$nvcc" ] || ! "$nvcc" --version | grep -q "V$version\$"; then
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  rm -rf "$to"
  { python3 -m venv "$to" && "$to/bin/pip" install -q --no-cache-dir --disable-pip-version-check \
    'cuda-toolkit[nvcc,crt,cccl,nvvm,cudart]==13.0.*' "nvidia-cuda-nvcc==$version"; } \
    >"$log" 2>&1 || {
    echo "nvcc $version could not be installed into $to with python3 and pip: $(tail -n 1 "$log")" >&2
    exit 1
  }
  nvcc=$(find "$to" -path '*/bin/nvcc' | head -n 1)
fi
echo "nvcc $version: $nvcc"
