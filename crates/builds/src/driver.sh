#!/usr/bin/env bash
# Runs inside a build dyno: detect, compile and release of classic buildpacks.
#
#   driver.sh auto|set [NAME DIRECTORY]...
#
# `auto` takes the first pack that detects the app, `set` demands that all do. Standard output is
# the transcript that people read. What the server must know goes into files of $RESULTS:
#
#   outcome      compiled | undetected | incompatible | compile-failed | release-failed
#   pack         name of the pack that outcome is about (for `compiled`: the last one)
#   language     what that pack's detect printed
#   release.yml  what the last pack's release printed
#
# Set by the server: BUILD_DIR, CACHE_DIR, ENV_DIR, RESULTS, and what buildpacks expect.

set -uo pipefail
exec 2>&1 < /dev/null

mode=$1
shift
packs=$(mktemp -d)
exports=()
language=

answer() { printf '%s' "$2" > "$RESULTS/$1"; }

finish() {
  answer outcome "$1"
  [[ $1 == compiled ]] && exit 0
  exit 1
}

# Sets `language` to what detect printed, on one line.
detects() {
  local said
  said=$("$1/bin/detect" "$BUILD_DIR" 2> /dev/null) || return 1
  language=${said%%$'\n'*}
}

# A pack may write into its own directory (`export`), so each gets a copy.
fetch() {
  local copy=$packs/$1
  cp -r "$2" "$copy" && chmod -R u+w "$copy" && pack_dir=$copy
}

compile() {
  local name=$1 pack_dir=$2 status file
  answer pack "$name"
  answer language "$language"
  echo "-----> $language app detected"
  (
    for file in ${exports[@]+"${exports[@]}"}; do
      # shellcheck disable=SC1090
      source "$file"
    done
    unset RESULTS
    cd "$pack_dir" && exec "$pack_dir/bin/compile" "$BUILD_DIR" "$CACHE_DIR" "$ENV_DIR"
  )
  status=$?
  [[ -x $pack_dir/bin/report ]] &&
    "$pack_dir/bin/report" "$BUILD_DIR" "$CACHE_DIR" "$ENV_DIR" > /dev/null 2>&1
  ((status == 0)) || finish compile-failed
  [[ -f $pack_dir/export ]] && exports+=("$pack_dir/export")
  return 0
}

release() {
  [[ -x $1/bin/release ]] || return 0
  "$1/bin/release" "$BUILD_DIR" 2> /dev/null > "$RESULTS/release.yml" || finish release-failed
}

run_auto() {
  local names=() dirs=() languages=() list
  echo '-----> Determining which buildpack to use for this app'
  while (($# >= 2)); do
    if detects "$2"; then
      names+=("$1")
      dirs+=("$2")
      languages+=("$language")
    fi
    shift 2
  done
  ((${#names[@]} > 0)) || finish undetected
  language=${languages[0]}
  if ((${#names[@]} > 1)); then
    list=$(IFS=,; echo "${languages[*]}")
    echo ' !     Warning: Multiple default buildpacks reported the ability to handle this app. The first buildpack in the list below will be used.'
    echo " !     Detected buildpacks: $list"
  fi
  fetch 1 "${dirs[0]}" || finish compile-failed
  compile "${names[0]}" "$pack_dir"
  release "$pack_dir"
}

run_set() {
  local count=$(($# / 2)) number=0 name
  if ((count == 1)); then
    echo "-----> Using buildpack: $1"
  else
    echo '-----> Using buildpacks:'
    for ((number = 1; number <= count; number++)); do
      name=$((number * 2 - 1))
      echo "       $number. ${!name}"
    done
  fi
  number=0
  while (($# >= 2)); do
    number=$((number + 1))
    fetch "$number" "$2" || finish compile-failed
    if ! detects "$pack_dir"; then
      answer pack "$1"
      finish incompatible
    fi
    compile "$1" "$pack_dir"
    shift 2
  done
  release "$pack_dir"
}

case $mode in
  auto) run_auto "$@" ;;
  set) run_set "$@" ;;
esac
finish compiled
