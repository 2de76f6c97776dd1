#!/bin/sh
# cuda/nvcc.sh OBJECT COMMAND...: runs the compiler, keeps what it says in OBJECT.log, and fails if it
# warns.
set -u
object=$1
shift
if ! "$@" >"$object.log" 2>&1 || grep -q 'warning' "$object.log"; then
  grep -v '^ptxas info\|bytes stack frame' "$object.log" >&2
  rm -f "$object"
  exit 1
fi
