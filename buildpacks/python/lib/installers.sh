# Who installs an app's packages: pip, or whose lock file there is. Sourced by bin/compile.
#
# Tools other than pip come from PyPI into an environment of their own in the cache: nothing of them
# is in the slug.

# Sets `installer`, and `sources`: the files that decide on the install.
choose_installer() {
  local found=()
  [[ ! -f Pipfile.lock && ! -f Pipfile ]] || found+=(pipenv)
  [[ ! -f requirements.txt ]] || found+=(pip)
  [[ ! -f poetry.lock ]] || found+=(poetry)
  [[ ! -f uv.lock ]] || found+=(uv)
  if ((${#found[@]} > 1)); then
    warn "Files of several package managers were found: ${found[*]}. Using ${found[0]}." \
      'Delete the files of the others, so that it is certain which packages are installed.'
  fi
  installer=${found[0]:-}
  case $installer in
    pipenv) sources=(Pipfile Pipfile.lock) ;;
    pip) sources=(requirements.txt) ;;
    poetry) sources=(pyproject.toml poetry.lock poetry.toml) ;;
    uv) sources=(pyproject.toml uv.lock uv.toml) ;;
    *) choose_project ;;
  esac
}

# A package that is installed like any other.
choose_project() {
  local file
  for file in pyproject.toml setup.py; do
    [[ -f $file ]] || continue
    installer=project sources=("$file")
    return
  done
  fail 'There is no requirements.txt, so it is not known which packages to install.' \
    'Add one to the root of the app; an empty one will do when there are none.' \
    'Lock files of Pipenv, Poetry and uv will do as well.'
}

# install_tool NAME: puts the newest of a tool into the cache, unless this Python's is there.
install_tool() {
  local place=$cache_dir/tools/$1 key
  key="$("$python" -VV) ${STACK:-}"
  tool_bin=$place/bin
  [[ -x $place/bin/$1 && $(cat "$place/key" 2> /dev/null) == "$key" ]] && return
  step "Installing $1"
  rm -rf "$place"
  { "$python" -m venv "$place" && app_run "$place/bin/python" -m pip install --quiet "$1"; } 2>&1 |
    indent || fail "$1 could not be installed; see above."
  printf '%s' "$key" > "$place/key"
}

# Lines about what is there already say nothing new and are many.
pip_install() {
  detail "Running 'pip install $*'"
  app_run python -m pip install --exists-action=w "$@" |
    { grep --line-buffered -v '^Requirement already satisfied' || true; } | indent ||
    fail "'pip install' failed; see above."
}

install_packages() {
  step "Installing dependencies using ${installer/project/pip}"
  case $installer in
    pip) pip_install -r requirements.txt ;;
    project) pip_install -e . ;;
    pipenv) run_pipenv ;;
    poetry) run_poetry ;;
    uv) run_uv ;;
  esac
}

# Installs with the tool that install_tool has put there, into the app's environment.
run_tool() {
  detail "Running '$*'"
  app_run "VIRTUAL_ENV=$app_python" "$tool_bin/$1" "${@:2}" | indent || fail "'$*' failed; see above."
}

run_pipenv() {
  build_vars+=(PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 "PIPENV_CACHE_DIR=$cache_dir/pip")
  if [[ -f Pipfile.lock ]]; then
    run_tool pipenv install --deploy
  else
    warn "There is no Pipfile.lock, so versions may change from build to build." \
      "Make one with 'pipenv lock' and commit it."
    run_tool pipenv install --skip-lock
  fi
}

run_poetry() {
  build_vars+=(POETRY_VIRTUALENVS_CREATE=false POETRY_NO_ANSI=1 "POETRY_CACHE_DIR=$cache_dir/poetry")
  run_tool poetry sync --only main --no-interaction
}

# The Python is chosen already: uv must not fetch another.
run_uv() {
  build_vars+=("UV_PROJECT_ENVIRONMENT=$app_python" "UV_CACHE_DIR=$cache_dir/uv" UV_NO_PROGRESS=1
    UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_NO_MANAGED_PYTHON=1)
  run_tool uv sync --locked --no-default-groups --inexact
}
