#!/bin/sh
# Compares the figures in the kernels' head comments with what ptxas said when they were compiled into
# BUILDDIR/cuda: cuda/figures.sh --check|--replace BUILDDIR. A line is a kernel, and for sm_80, then
# sm_90, its registers, bytes of shared memory and bytes spilled.
set -eu
if [ $# -ne 2 ] || { [ "$1" != --check ] && [ "$1" != --replace ]; }; then
  echo "usage: cuda/figures.sh --check|--replace BUILDDIR" >&2
  exit 2
fi
mode=$1
build=$(cd "$2/cuda" && pwd)
if ! command -v c++filt >/dev/null 2>&1; then
  echo "the figures are not compared: c++filt was not found"
  exit 77
fi
cd "$(dirname "$0")/src"
title='// Figures of ptxas'
said=$(mktemp)
trap 'rm -f "$said" "$said.new"' EXIT
status=0
for source in *.cu; do
  log=$build/${source%.cu}.o.log
  if [ ! -f "$log" ]; then
    echo "cuda/src/$source: nvcc has not compiled it in $2: where it is not found, cuda/toolkit.sh" \
      "fetches it; cuda/CMakeLists.txt lists what is compiled" >&2
    exit 1
  fi
  grep -q 'Compiling entry' "$log" || continue
  c++filt <"$log" | sed 's/(anonymous namespace):://g; s/assay:://g; s/> >/>>/g; s/> >/>>/g' |
    awk '
      /Compiling entry function/ {
        name = $0; sub(/.*function .(void )?/, "", name); sub(/\([A-Z].*/, "", name)
        target = $0; sub(/.* for ./, "", target); sub(/.$/, "", target)
      }
      /bytes spill stores/ { spilled = $5 + $9 }
      / Used [0-9]+ registers/ {
        shared = 0
        if (match($0, /[0-9]+ bytes smem/)) shared = substr($0, RSTART, RLENGTH) + 0
        figures[name, target] = $5 " " shared " " spilled
        if (!(name in seen)) { seen[name] = 1; names[++n] = name }
      }
      END {
        for (i = 1; i <= n; i++) {
          print "//   " names[i] ": " figures[names[i], "sm_80"] ", " figures[names[i], "sm_90"]
        }
      }' | LC_ALL=C sort >"$said"
  if ! grep -q "^$title" "$source"; then
    echo "cuda/src/$source: its comment lacks the line \"$title (registers, shared bytes, spilled" \
      "bytes; sm_80, sm_90):\", below which figures stand" >&2
    status=1
  elif [ "$mode" = --replace ]; then
    awk -v title="$title" -v said="$said" '
      index($0, title) == 1 { print; while ((getline line < said) > 0) print line; skip = 1; next }
      skip && /^\/\/   / { next }
      { skip = 0; print }' "$source" >"$said.new"
    cat "$said.new" >"$source"
  elif ! sed -n "\\:^$title:,/^[^\\/]/p" "$source" | grep '^//   ' | diff - "$said"; then
    echo "cuda/src/$source: the figures in its comment are not the compiler's;" \
      "\"cuda/figures.sh --replace $2\" corrects them" >&2
    status=1
  fi
done
exit $status
