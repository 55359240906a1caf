#!/bin/sh
# Unpacks Debian's AArch64 libraries for the engine and its tests into build/aarch64-sysroot, where the preset neon
# looks for them: the machine gets no second architecture.
set -eu
cd "$(dirname "$0")/.."
root=$PWD/build/aarch64-sysroot
[ ! -e "$root/complete" ] || exit 0
rm -rf "$root"
mkdir -p "$root/apt/lists/partial" "$root/apt/cache/archives/partial"
: >"$root/apt/status"
foreign() {
  apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=root \
    -o Dir::State::lists="$root/apt/lists" -o Dir::State::status="$root/apt/status" -o Dir::Cache="$root/apt/cache" \
    -o Acquire::Retries=0 -o Acquire::http::Timeout=10 -o Acquire::https::Timeout=10 "$@"
}
echo "Unpacking Debian's AArch64 libraries into build/aarch64-sysroot"
foreign update
cd "$root/apt"
foreign download libgtest-dev libgmock-dev libssl-dev libsodium-dev
for package in *.deb; do dpkg -x "$package" "$root"; done
cd "$root"
rm -rf apt
touch complete
