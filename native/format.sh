#!/bin/sh
# Lays out the C, C++ and CUDA files: native/format.sh --check|--replace VERSION. Another version of
# clang-format lays out differently, so the check is made with that one, and with none is left out.
set -eu
mode=$1
version=$2
found=$(clang-format --version 2>/dev/null | sed 's/.*version \([0-9.]*\).*/\1/' || true)
if [ "$found" != "$version" ]; then
  echo "C++ layout is not checked: clang-format is ${found:-not found}, $version is needed"
  exit 0
fi
cd "$(dirname "$0")/.."
if [ "$mode" = --replace ]; then
  set -- -i
else
  set -- --dry-run --Werror
fi
if ! find native cuda \( -name '*.h' -o -name '*.c' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' \) \
  -type f -exec clang-format "$@" {} +; then
  echo "The files above are not laid out as clang-format does it;" \
    "\"mvn -Pformat validate -N\" rewrites them." >&2
  exit 1
fi
