# Which of the stack's Pythons an app gets. Sourced by bin/compile.

version_of() { "$1" -c 'import platform; print(platform.python_version())'; }

# Paths of the Pythons that the stack has, newest first.
stack_pythons() {
  local dir program
  for dir in /usr/local/bin /usr/bin; do
    for program in "$dir"/python3.*; do
      [[ ${program##*/} =~ ^python3\.[0-9]+$ && -x $program ]] && echo "$program"
    done
  done | sort -t . -k 2,2nr -u
}

# Prints the version an app asks for, such as 3.11 or 3.11.2; nothing when it does not. $1 is any
# Python.
wanted_version() {
  local line
  if [[ -f .python-version ]]; then
    while read -r line || [[ -n $line ]]; do
      line=${line%%#*}
      line=${line//[[:space:]]/}
      [[ -n $line ]] && echo "$line" && return
    done < .python-version
  elif [[ -f runtime.txt ]]; then
    read -r line < runtime.txt || true
    line=${line//[[:space:]]/}
    echo "${line#python-}"
  elif [[ $installer == pipenv && -f Pipfile.lock ]]; then
    "$1" -c 'import json, sys
requires = json.load(open("Pipfile.lock")).get("_meta", {}).get("requires", {})
print(requires.get("python_full_version") or requires.get("python_version") or "")'
  fi
}

can_make_environments() { "$1" -c 'import venv, ensurepip' 2> /dev/null; }

# Sets `python` to the program that fits.
choose_python() {
  local wanted found=() program
  for program in $(stack_pythons); do found+=("$program"); done
  ((${#found[@]} > 0)) || fail 'This stack has no Python, which a Python app needs.' \
    'Ask the operator to install it: apt-get install python3 python3-venv'
  wanted=$(wanted_version "${found[0]}")
  python=
  if [[ -z $wanted ]]; then
    python=$(default_python "${found[@]}")
    step "No Python version was specified. Using the stack's Python $(version_of "$python")"
  else
    python=$(fitting_python "$wanted" "${found[@]}") || refuse_version "$wanted" "${found[@]}"
    step "Using Python $(version_of "$python") specified in $(version_file)"
  fi
  can_make_environments "$python" || fail \
    "Python $(version_of "$python") of this stack lacks the modules venv and ensurepip." \
    'Ask the operator to install them: apt-get install python3-venv'
}

version_file() {
  local file
  for file in .python-version runtime.txt Pipfile.lock; do
    [[ -f $file ]] || continue
    echo "$file"
    return
  done
}

# The distribution's own python3 if it is there: its packages are the best tended.
default_python() {
  local program
  if [[ -x /usr/bin/python3 ]]; then
    program=$(readlink -f /usr/bin/python3)
    can_make_environments "$program" && echo "$program" && return
  fi
  for program in "$@"; do
    can_make_environments "$program" && echo "$program" && return
  done
  echo "$1"
}

# A wanted version fits when it is the same, or the same with parts left out at its end.
fitting_python() {
  local wanted=$1 program version
  shift
  [[ $wanted =~ ^3(\.[0-9]+){0,2}$ ]] || return 1
  for program in "$@"; do
    version=$(version_of "$program") || continue
    if [[ $version == "$wanted" || $version == "$wanted".* ]]; then
      echo "$program"
      return
    fi
  done
  return 1
}

refuse_version() {
  local wanted=$1 program versions=
  shift
  for program in "$@"; do versions+="${versions:+, }$(version_of "$program")"; done
  fail "$(version_file) asks for Python \"$wanted\", which this stack does not have." \
    "It has: $versions." \
    "Write one of them, or only its first two numbers (such as 3.11), into $(version_file)."
}
