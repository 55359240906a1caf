#!/bin/sh
# The test suite. quick: everything once, each fuzz target for some seconds. full: also the sanitizers and
# longer fuzzing. The last lines are CTest's summary.
set -eu
form=$1
cd "$(dirname "$0")/.."
tools/install_packages.sh test
jobs=$(nproc)

fuzz() {
  cmake --preset fuzz --log-level=WARNING >/dev/null
  cmake --build build/fuzz -j "$jobs"
  for target in build/fuzz/fuzz/*_fuzz; do
    name=$(basename "$target")
    mkdir -p "build/fuzz/corpus/$name"
    echo "fuzzing $name for $1 s"
    "$target" -max_total_time="$1" -rss_limit_mb=4096 -print_final_stats=0 -verbosity=0 "build/fuzz/corpus/$name" \
      $( [ -d "fuzz/corpus/$name" ] && echo "fuzz/corpus/$name" )
  done
}

sanitized() {
  cmake --preset "$1" --log-level=WARNING >/dev/null
  cmake --build "build/$1" -j "$jobs"
  ctest --test-dir "build/$1" --output-on-failure -j "$jobs" $2
}

if [ "$form" = full ]; then
  fuzz 600
  sanitized asan ""
  sanitized tsan "-E wire|e2e"
else
  fuzz 5
fi

cmake --preset release --log-level=WARNING -DCORTENSOR_TESTS=ON >/dev/null
cmake --build build/release -j "$jobs"
exec ctest --test-dir build/release --output-on-failure -j "$jobs"
