#!/bin/sh
# Installs the Debian packages that are missing. Usage: install_packages.sh run|test|neon
set -eu
packages="g++ cmake ninja-build ccache libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc libboost1.81-dev
  nlohmann-json3-dev libcli11-dev libexpected-dev libssl-dev libsodium-dev libsqlite3-dev libpq-dev libedit-dev pkg-config"
if [ "$1" = test ]; then
  packages="$packages libgtest-dev libgmock-dev libbenchmark-dev python3 clang libclang-rt-14-dev curl postgresql-15 haproxy"
  command -v node >/dev/null || packages="$packages nodejs"
  command -v npm >/dev/null || packages="$packages npm"
fi
[ "$1" != neon ] || packages="g++-aarch64-linux-gnu qemu-user"
missing=
for package in $packages; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
[ "$1" != neon ] || "$(dirname "$0")/aarch64_sysroot.sh"
[ -n "$missing" ] || exit 0
echo "Installing Debian packages:$missing"
as_root=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "Installing packages needs root or sudo." >&2; exit 1; }
  as_root=sudo
fi
apt() { $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq "$@" >/dev/null; }
apt update
# shellcheck disable=SC2086
apt install -y --no-install-recommends $missing
