# What the scripts share. Sourced, not run.

set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# Outside the clone, so that a fresh clone does not compile everything again.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-/var/tmp/hythe-target}

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); else bold='' plain=''; fi

step() { printf '%s-----> %s%s\n' "$bold" "$*" "$plain"; }
note() { printf '       %s\n' "$*"; }
fail() { printf ' !     %s\n' "$*" >&2; exit 1; }

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# Installs the Debian packages that are missing; says nothing when none is.
packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then return; fi
  step "Installing ${missing[*]}"
  as_root apt-get update -q >/dev/null
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null
}

# What the server needs on its machine.
server_packages() {
  packages crun squashfs-tools e2fsprogs nftables iproute2 ca-certificates python3-venv build-essential curl
  command -v git >/dev/null || packages git
  command -v node >/dev/null && command -v npm >/dev/null || packages nodejs npm
  command -v cargo >/dev/null || fail "The Rust toolchain is missing: see https://rustup.rs"
}
