# What a build says, the config vars of the app, and how programs run with them. Sourced by bin/compile
# of each buildpack.

step() { echo "-----> $*"; }
detail() { echo "       $*"; }
indent() { sed -u 's/^/       /'; }

warn() {
  echo
  local line
  for line in "$@"; do echo " !     $line"; done
  echo
}

fail() {
  warn "$@"
  exit 1
}

# The app's config vars as NAME=value, for `env`. They never become variables of this script: a
# config var may have any name.
config_vars=()

# Reads them from ENV_DIR, one file each, bytes exact. Left out are those that would change how the
# build itself runs, as Heroku's buildpacks do.
read_config_vars() {
  local file value
  for file in "$1"/*; do
    [[ -f $file ]] || continue
    case ${file##*/} in
      PATH | HOME | IFS | ENV | BASH_* | GIT_DIR | CPATH | CPPATH | LD_* | LIBRARY_PATH | \
        PYTHONHOME | SHELLOPTS | STACK | REQUEST_ID | SOURCE_VERSION) continue ;;
    esac
    # The x keeps line feeds at the end from being cut off.
    value=$(cat "$file" && echo x)
    config_vars+=("${file##*/}=${value%x}")
  done
}

# The value of config var $1, or $2 when there is none.
config_var() {
  local var
  for var in ${config_vars[@]+"${config_vars[@]}"}; do
    if [[ $var == "$1="* ]]; then
      printf '%s' "${var#*=}"
      return
    fi
  done
  printf '%s' "$2"
}

# What every program of the build gets besides the config vars, as NAME=value.
build_vars=()

# Runs a program as the app's build: with its config vars.
app_run() {
  env ${config_vars[@]+"${config_vars[@]}"} ${build_vars[@]+"${build_vars[@]}"} "$@" 2>&1 < /dev/null
}

# Runs the app's own bin/$1, if it has one.
run_hook() {
  [[ -f bin/$1 ]] || return 0
  step "Running bin/$1 hook"
  chmod +x "bin/$1"
  app_run "bin/$1" | indent || fail "bin/$1 failed; see above."
}
