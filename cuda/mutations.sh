#!/bin/sh
# Leaves out each barrier of each kernel, one at a time, and shows that a test fails then. The
# emulation leaves it out (ASSAY_EMULATE_WITHOUT), so nothing is compiled anew:
#   cuda/mutations.sh --run BUILDDIR > cuda/test/mutations.txt    where the emulation is built
#   cuda/mutations.sh --check BUILDDIR    that the list is of these barriers; ctest calls it
# A line of the list: file, which of its barriers, and how its absence is noticed first.
set -eu
if [ $# -ne 2 ] || { [ "$1" != --run ] && [ "$1" != --check ]; }; then
  echo "usage: cuda/mutations.sh --run|--check BUILDDIR" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
test=$(cd "$2/cuda" && pwd)/cuda_kernels_test
found=$(mktemp)
trap 'rm -f "$found" "$found.listed"' EXIT
survived=0
# $1 file, $2 which of its barriers, $3 line
mutant() {
  case $1 in
    token_swap_topk.cu) groups="swap bound" ;;
    token_swap_bound.cu | matrix_product.cuh) groups=bound ;;
    suffix_attention.cu) groups=attention ;;
    head_*.cu) groups=heads ;;
    *_*.cu) groups=${1%%_*} ;;
    *) groups=heads ;; # what a header says is tried in one kernel
  esac
  # The first line is the first failure; the test ends when nobody reads more.
  first=$(for group in $groups; do
    ASSAY_EMULATE_WITHOUT=$1:$3 "$test" "$group" 2>&1 || break
  done | grep -v ': 0 failures$' | head -n 1) || true
  case $first in
    '')
      survived=1
      first="SURVIVED"
      ;;
    *'kernel ('*)
      first=$(echo "$first" |
        sed 's/.*kernel (\([a-z_]*\)[^)]*): \([a-z ]*\): [^[]* \([a-z_]*\)\[.*/\1: \2, \3/')
      ;;
    *) first="wrong result: $(echo "$first" | sed 's/^[^ ]* //' | cut -c 1-60)" ;;
  esac
  echo "$1 $2 $first"
}
cd "$here/src"
for source in *.cu *.cuh; do
  number=0
  for line in $(grep -n '^ *__syncthreads();\|^ *__syncwarp();\|__syncthreads_count(' "$source" |
    cut -d : -f 1); do
    number=$((number + 1))
    mutant "$source" $number "$line" >>"$found"
  done
done
if [ "$1" = --run ]; then
  cat "$found"
  exit $survived
fi
# What is noticed first may depend on the compiler's library.
cut -d ' ' -f 1,2 "$here/test/mutations.txt" >"$found.listed"
if ! cut -d ' ' -f 1,2 "$found" | diff "$found.listed" -; then
  echo "cuda/test/mutations.txt is not of these barriers;" \
    "\"cuda/mutations.sh --run $2 > cuda/test/mutations.txt\" corrects it" >&2
  exit 1
fi
grep SURVIVED "$found" >&2 || true
exit $survived
