#!/bin/sh
# The kernels for AArch64, cross-compiled, against the specification under qemu. Usage: run_neon_tests.sh quick|full;
# full also runs the longest cases and the engine. Exits with 77, which CTest shows as skipped, where a tool is missing.
set -eu
cd "$(dirname "$0")/.."
skip() {
  echo "SKIPPED: no $1; tools/install_packages.sh neon installs what these tests need" >&2
  exit 77
}
command -v aarch64-linux-gnu-g++ >/dev/null || skip "cross compiler for AArch64"
command -v qemu-aarch64 >/dev/null || skip "qemu-aarch64"
[ -e build/aarch64-sysroot/complete ] || skip "AArch64 libraries in build/aarch64-sysroot"

cmake --preset neon --log-level=WARNING >/dev/null
jobs=$(nproc)
if [ "$1" = full ]; then
  cmake --build build/neon -j "$jobs"
  exec ctest --test-dir build/neon --output-on-failure -j "$jobs" -E '"scalar"|lint\.(layers|registered|spec)'
fi
cmake --build build/neon -j "$jobs" --target compute_test conformance_test
exec ctest --test-dir build/neon --output-on-failure -j "$jobs" -R '^compute_test|^conformance_test.*/neon|isa_object' \
  -E 'EveryKindOfSegmentAndTile|AnyNumberOfThreads|EveryHeadShape|EveryKindOfNumbers'
