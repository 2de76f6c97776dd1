#!/bin/sh
# bench/device/java.sh [FILE]: packs a small Java, the engine's kernels and their check into FILE (default
# build/device-java.tar.xz), for a machine that has no JDK: bench/device/run.py --java FILE. After
# mvn -DskipTests install, with a JDK 25 in JAVA_HOME or on the PATH.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$root/build"
file=${1:-$root/build/device-java.tar.xz}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
to=$work/device-java
jlink=${JAVA_HOME:+$JAVA_HOME/bin/}jlink
case $("$jlink" --version 2>/dev/null) in
  2[5-9]* | [3-9][0-9]*) ;;
  *)
    echo "$jlink is not that of a JDK 25; let JAVA_HOME point to one" >&2
    exit 2
    ;;
esac
engine=$root/java/engine/target
libraries=$root/java/app/target/lib
if [ ! -e "$engine/test-classes/io/assay/engine/kernel/CudaCheck.class" ] ||
  ! ls "$libraries"/jcuda-*.jar >/dev/null 2>&1; then
  echo "what Maven builds is missing; run mvn -DskipTests install" >&2
  exit 2
fi
# Not compressed here: xz does that better.
"$jlink" --add-modules java.base,java.logging --strip-debug --no-header-files --no-man-pages \
  --compress zip-0 --output "$to"
mkdir "$to/app" "$to/app/classes"
cp "$libraries"/jcuda-[0-9]*.jar "$to/app"
# Of JCuda's libraries the one that is used: the others take ten times the space.
(cd "$to/app/classes" && "$(dirname "$(command -v "$jlink")")/jar" xf "$libraries"/jcuda-natives-*.jar lib &&
  find lib -type f ! -name 'libJCudaDriver-*' -exec rm {} +)
for classes in classes test-classes; do
  (cd "$engine/$classes" && find io/assay/engine/device io/assay/engine/kernel io/assay/engine/tensor \
    io/assay/engine/internal io/assay/engine/InputException.class -name '*.class' 2>/dev/null |
    tar cf - -T -) | tar xf - -C "$to/app/classes"
done
tar cJf "$file" -C "$work" device-java
du -h "$file"
