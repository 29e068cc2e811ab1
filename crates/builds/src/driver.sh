#!/usr/bin/env bash
# Runs inside a build dyno: detect, compile and release of classic buildpacks.
#
#   driver.sh auto|set|source
#
# `auto` takes the first pack that detects the app, `set` demands that all do; `source` fetches an
# app's source instead, into $RESULTS/source.tgz and $RESULTS/commit. The packs (or the source) are the
# lines of $PACKS, in order: kind (built-in, git, archive), name, place and reference, with tabs
# between; a built-in one's place is a directory below $BUILT_IN. Standard output is the transcript
# that people read. What the server must know goes into files of $RESULTS:
#
#   outcome      compiled | undetected | incompatible | fetch-failed | compile-failed | release-failed
#   pack         name of the pack that outcome is about (for `compiled`: the last one)
#   language     what that pack's detect printed
#   release.yml  what the last pack's release printed
#
# Set by the server: these, BUILD_DIR, CACHE_DIR, ENV_DIR, and what buildpacks expect.

set -uo pipefail
exec 2>&1 < /dev/null

mode=$1
copies=$(mktemp -d)
kinds=() names=() places=() references=()
exports=()
language=

# Heroku's limits for the download of a buildpack.
fetch_seconds=90
fetch_tries=3
max_archive_bytes=104857600
# Heroku's limit on a checkout is 1 GB.
max_source_kilobytes=1048576
source_seconds=300

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

read_packs() {
  local kind name place reference
  while IFS=$'\t' read -r kind name place reference; do
    kinds+=("$kind") names+=("$name") places+=("$place") references+=("$reference")
  done < "$PACKS"
}

# Sets `pack_dir` to a copy of pack $1: a pack may write into its own directory (`export`).
fetch() {
  pack_dir=$copies/$1
  answer pack "${names[$1]}"
  case ${kinds[$1]} in
    built-in) cp -r "$BUILT_IN/${places[$1]}" "$pack_dir" && chmod -R u+w "$pack_dir" ;;
    git) download 'custom git buildpack' from_git "${places[$1]}" "${references[$1]}" ;;
    archive) download 'custom tar buildpack' from_archive "${places[$1]}" ;;
  esac || finish fetch-failed
  [[ -f $pack_dir/bin/detect && -f $pack_dir/bin/compile ]] || {
    echo " !     ${names[$1]} is not a buildpack: it has no bin/detect or no bin/compile."
    finish fetch-failed
  }
}

# download WHAT FUNCTION ARGUMENTS...: tries FUNCTION and says how it went.
download() {
  local what=$1 try said
  shift
  for ((try = 1; try <= fetch_tries; try++)); do
    rm -rf "$pack_dir"
    if said=$("$@" 2>&1); then
      echo "-----> Fetching $what... done"
      return 0
    fi
    ((try == fetch_tries)) || sleep "$try"
  done
  echo "-----> Fetching $what... failed"
  # An address in a message may hold a password.
  tail -n 5 <<< "$said" | sed -E 's#://[^/@[:space:]]+@#://#g; s/^/       /'
  return 1
}

# A reference may be a commit, which no clone can name; servers that do not hand out single commits
# are asked for everything.
from_git() {
  local url=$1 reference=${2:-HEAD} git=(timeout "$fetch_seconds" git -C "$pack_dir"
    -c protocol.allow=never -c protocol.https.allow=always -c protocol.http.allow=always
    -c protocol.git.allow=always)
  export GIT_TERMINAL_PROMPT=0
  mkdir "$pack_dir" && git -C "$pack_dir" init -q || return
  if "${git[@]}" fetch -q --depth 1 "$url" "$reference"; then
    git -C "$pack_dir" checkout -q FETCH_HEAD || return
  else
    "${git[@]}" fetch -q "$url" '+refs/*:refs/*' && git -C "$pack_dir" checkout -q "$reference" || return
  fi
  if [[ -f $pack_dir/.gitmodules ]]; then
    "${git[@]}" submodule --quiet update --init --recursive --depth 1 || return
  fi
}

# The one directory at an archive's top that code hosts make is left out.
from_archive() {
  local top
  mkdir "$pack_dir"
  curl --fail --silent --show-error --location --proto =https,http --max-time "$fetch_seconds" \
    --max-filesize "$max_archive_bytes" --output "$pack_dir.tgz" "$1" &&
    tar -xzf "$pack_dir.tgz" --no-same-owner -C "$pack_dir" || return
  rm -f "$pack_dir.tgz"
  if [[ ! -d $pack_dir/bin ]]; then
    top=("$pack_dir"/*/bin)
    [[ ${#top[@]} == 1 && -d ${top[0]} ]] || return 0
    mv "${top[0]%/bin}" "$pack_dir.top" && rm -rf "$pack_dir" && mv "$pack_dir.top" "$pack_dir"
  fi
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
    unset RESULTS PACKS BUILT_IN
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

# Every pack here is built-in: none is fetched to be asked.
run_auto() {
  local found=() languages=() list number
  echo '-----> Determining which buildpack to use for this app'
  for number in "${!names[@]}"; do
    # It knows every app with a Procfile, and is asked only if nobody else knows the app.
    [[ ${names[number]} == heroku/procfile && ${#found[@]} != 0 ]] && continue
    detects "$BUILT_IN/${places[number]}" || continue
    found+=("$number")
    languages+=("$language")
  done
  ((${#found[@]} > 0)) || finish undetected
  language=${languages[0]}
  if ((${#found[@]} > 1)); then
    list=$(IFS=,; echo "${languages[*]}")
    echo ' !     Warning: Multiple default buildpacks reported the ability to handle this app. The first buildpack in the list below will be used.'
    echo " !     Detected buildpacks: $list"
  fi
  fetch "${found[0]}"
  compile "${names[found[0]]}" "$pack_dir"
  release "$pack_dir"
}

run_set() {
  local number
  if ((${#names[@]} == 1)); then
    echo "-----> Using buildpack: ${names[0]}"
  else
    echo '-----> Using buildpacks:'
    for number in "${!names[@]}"; do echo "       $((number + 1)). ${names[number]}"; done
  fi
  for number in "${!names[@]}"; do
    fetch "$number"
    detects "$pack_dir" || finish incompatible
    compile "${names[number]}" "$pack_dir"
  done
  release "$pack_dir"
}

# Fetches what the only line of $PACKS names. A file that becomes too large ends the program.
run_source() {
  pack_dir=$copies/source
  ulimit -f "$max_source_kilobytes"
  case ${kinds[0]} in
    git) download 'source' from_git "${places[0]}" "${references[0]}" && pack_checkout ;;
    archive) download 'source' source_archive "${places[0]}" ;;
  esac || finish fetch-failed
  exit 0
}

pack_checkout() {
  git -C "$pack_dir" rev-parse HEAD > "$RESULTS/commit" &&
    tar -czf "$RESULTS/source.tgz" -C "$pack_dir" --exclude-vcs . ||
    { echo " !     The source is too large."; return 1; }
}

source_archive() {
  curl --fail --silent --show-error --location --proto =https,http --max-time "$source_seconds" \
    --output "$RESULTS/source.tgz" "$1"
}

read_packs
case $mode in
  auto) run_auto ;;
  set) run_set ;;
  source) run_source ;;
esac
finish compiled
