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
mode=$1
here=$(cd "$(dirname "$0")" && pwd)
test=$(cd "$2/cuda" && pwd)/cuda_kernels_test
found=$(mktemp)
trap 'rm -f "$found" "$found.listed" "$found.said"' EXIT
survived=0
tried=
# That there is such a group, and that it passes with every barrier: else all would seem to be
# missed. With --check the latter is a test of its own.
passes() {
  case " $tried " in *" $1 "*) return ;; esac
  case " $("$test" --groups) " in
    *" $1 "*) ;;
    *)
      echo "$2: no group of tests is called $1; say in cuda/mutations.sh which one tries the file" >&2
      exit 1
      ;;
  esac
  if [ $mode = --run ] && ! "$test" "$1" >"$found.said" 2>&1; then
    cat "$found.said" >&2
    echo "\"$test $1\" fails with every barrier in its place, so it does not show that one is missed" >&2
    exit 1
  fi
  tried="$tried $1"
}
# $1 file, $2 which of its barriers, $3 line
mutant() {
  # Where kernels need several groups, or one of another name than the file's first word.
  case $1 in
    token_swap_topk.cu) groups="swap bound" ;;
    token_swap_bound.cu | matrix_product.cuh) groups=bound ;;
    suffix_attention.cu) groups=attention ;;
    head_*.cu) groups=heads ;;
    *.cu) groups=$(basename "${1%%_*}" .cu) ;;
    *.cuh) groups=heads ;; # what a header says is tried in one kernel
  esac
  for group in $groups; do passes "$group" "$1"; done
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
        sed -e 's/.*kernel (\([a-z_]*\)[^)]*): \([a-z ]*\): [^[]* \([a-z_]*\)\[.*/\1: \2, \3/' -e t \
          -e 's/.*kernel (\([a-z_]*\)[^)]*): \([a-z ]*\):.*/\1: \2/')
      ;;
    *) first="wrong result: $(echo "$first" | sed 's/^[^ ]* //' | cut -c 1-60)" ;;
  esac
  echo "$1 $2 $first"
}
library=${test%/*}/libassay_cuda_emulated.so
cd "$here/src"
for source in *.cu *.cuh; do
  # Barriers are found in the source and left out in what was built of it.
  if [ -n "$(find "$source" -newer "$library")" ]; then
    echo "cuda/src/$source is newer than $library; build it again" >&2
    exit 1
  fi
  number=0
  for line in $(grep -n '^[^/]*__sync\(threads\|warp\)[a-z_]*(' "$source" | cut -d : -f 1); do
    number=$((number + 1))
    mutant "$source" $number "$line" >>"$found"
  done
done
if [ $mode = --run ]; then
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
