#!/bin/sh
# Removes each barrier of each kernel, one at a time, and shows that a test fails then:
#   cuda/mutations.sh --run BUILDDIR > cuda/test/mutations.txt    where the emulation is built
#   cuda/mutations.sh --listed    compares the list with the barriers that the source has now
# A line of the list: file, which of its barriers, and how its absence is noticed first.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here/src"
for source in *.cu *.cuh; do
  grep -n '^ *__syncthreads();\|^ *__syncwarp();\|__syncthreads_count(' "$source" |
    awk -F: -v source="$source" '{ print source, NR, $1 }'
done >"$work/barriers"
if [ "$1" = --listed ]; then
  cut -d ' ' -f 1,2 "$work/barriers" >"$work/now"
  cut -d ' ' -f 1,2 "$here/test/mutations.txt" | diff - "$work/now" >&2 || {
    echo "cuda/test/mutations.txt is not of these barriers; cuda/mutations.sh --run makes it" >&2
    exit 1
  }
  exit 0
fi
build=$(cd "$2/cuda" && pwd)
objects=$build/CMakeFiles/assay_cuda_emulated.dir
survived=0
while read -r source number line; do
  # What a header says is tried in one kernel.
  kernel=$source
  [ "$source" != product.cuh ] || kernel=head_rows.cu
  cp "$here"/src/* "$work"
  sed -i "${line}s/__sync[a-z]*();/;/; ${line}s/__syncthreads_count(\(.*\))/(\1)/" "$work/$source"
  "${CXX:-c++}" -std=c++20 -O2 -fPIC -w -ffp-contract=off -fvisibility=hidden -I "$work" \
    -I "$here/include" -I "$here/emulate" -I "$here/../native/include" -I "$here/../native/src" \
    -x c++ -c "$work/$kernel" -o "$work/mutant.o"
  "${CXX:-c++}" -shared -o "$work/libassay_cuda_emulated.so" "$work/mutant.o" \
    $(find "$objects" -name '*.o' ! -name "$kernel.o")
  # The first line is the first failure; the test ends when nobody reads more.
  first=$(LD_LIBRARY_PATH=$work "$build/cuda_kernels_test" 2>&1 | head -n 1) || true
  case $first in
    *': 0 failures'*)
      survived=1
      first="SURVIVED"
      ;;
    *'kernel ('*)
      first=$(echo "$first" | sed 's/.*kernel (\([a-z_]*\)[^)]*): \([a-z ]*\): [^[]* \([a-z_]*\)\[.*/\1: \2, \3/')
      ;;
    *) first="wrong result: $(echo "$first" | sed 's/^[^ ]* //' | cut -c 1-60)" ;;
  esac
  echo "$source $number $first"
done <"$work/barriers"
exit $survived
