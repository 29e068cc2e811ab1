# Which Node.js and npm an app gets: the stack's own if they fit, else those of the npm registry, put
# into BUILD_DIR/.heroku. Sourced by bin/compile.

find_runtime() {
  local program
  for program in node npm; do
    command -v "$program" > /dev/null || fail \
      "This stack has no $program, which a Node.js app needs." \
      'Ask the operator to install it: apt-get install nodejs npm'
  done
  stack_node=$(type -P node)
  stack_npm=$(readlink -f "$(type -P npm)")
  npm_version=$(npm --version)
}

# The registry is always asked with the stack's own programs: an app's may be too old for that.
registry() { "$stack_node" "$stack_npm" "$@" --silent --cache "$cache_dir/npm" < /dev/null; }

ask() { NPM_PATH=$stack_npm NPM_VERSION=$npm_version "$stack_node" "$pack_dir/lib/package.js" "$@"; }

node_version() { node --version | tr -d v; }

choose_runtime() {
  step 'Installing binaries'
  detail "engines.node (package.json):   ${engines_node:-unspecified}"
  detail "engines.npm (package.json):    ${engines_npm:-unspecified}"
  detail
  case $node_fits in
    invalid) fail "engines.node in package.json is not a version range: $engines_node" ;;
    no) install_node ;;
    *) detail "Using the stack's Node.js $(node_version)" ;;
  esac
  case $npm_fits in
    invalid) fail "engines.npm in package.json is not a version range: $engines_npm" ;;
    no) install_manager npm "$engines_npm" ;;
    *) fit_npm ;;
  esac
}

# Node.js as published on the npm registry: one package for each architecture.
install_node() {
  local package version
  detail "Resolving node version $engines_node..."
  package=node-linux-$("$stack_node" -p process.arch)
  version=$(newest "$package" "$engines_node")
  [[ -n $version ]] || fail "package.json asks for Node.js $engines_node (engines.node)," \
    "but this stack has Node.js $(node_version), and the npm registry has none that fits." \
    'Widen the range in package.json, or ask the operator for another Node.js.'
  detail "Downloading and installing node $version..."
  install_program "$package" "$version" node
  export PATH=$build_dir/.heroku/node/bin:$PATH npm_config_nodedir=$build_dir/.heroku/node
}

# Prints the newest version of package $1 in range $2; nothing when there is none.
newest() {
  local versions
  versions=$(registry view "$1" versions --json) || versions='[]'
  ask newest "$2" <<< "$versions"
}

# A package manager of the npm registry: $1, of a version in range $2.
install_manager() {
  local manager=$1 package=$1 version program
  # Yarn's name was changed with its version 2.
  [[ $manager == yarn && ! $2 =~ ^[~^=v]?[01](\.|$) ]] && package=@yarnpkg/cli-dist
  version=$(newest "$package" "$2")
  [[ -n $version ]] || fail "The npm registry has no $manager that fits $2."
  detail "Downloading and installing $manager $version..."
  install_program "$package" "$version" "$manager"
  chmod -R u+rwX "$build_dir/.heroku/$manager"
  mkdir -p "$build_dir/.heroku/bin"
  for program in "$build_dir/.heroku/$manager"/bin/*.{js,cjs,mjs}; do
    case ${program##*/} in
      "$manager".* | "$manager"-cli.* | npx-cli.* | pnpx.*) link_program "$program" ;;
    esac
  done
}

# `npm-cli.js` is run as `npm`.
link_program() {
  local name=${1##*/}
  name=${name%.*}
  chmod +x "$1"
  ln -sfn "../${1#"$build_dir/.heroku/"}" "$build_dir/.heroku/bin/${name%-cli}"
}

# install_program PACKAGE VERSION NAME: the files of a package of the npm registry, into
# BUILD_DIR/.heroku/NAME. They are kept in the cache until another version is wanted.
install_program() {
  local saved=$cache_dir/programs/$3 place=$build_dir/.heroku/$3
  if [[ $(cat "$saved/version" 2> /dev/null) != "$1@$2" ]]; then
    rm -rf "$saved" && mkdir -p "$saved/package"
    registry pack "$1@$2" --pack-destination "$saved" > /dev/null &&
      tar -xzf "$saved"/*.tgz --strip-components 1 --no-same-owner -C "$saved/package" ||
      fail "$1 $2 could not be downloaded from the npm registry."
    rm -rf "$saved"/*.tgz "$saved"/package/share
    printf '%s' "$1@$2" > "$saved/version"
  fi
  rm -rf "$place" && mkdir -p "${place%/*}" && cp -a --reflink=auto "$saved/package" "$place"
}

# The stack's npm may be too new for the Node.js that an app asks for.
fit_npm() {
  local wants tag
  wants=$(npm_engines "$(dirname "$stack_npm")/../package.json")
  if [[ $(ask fits "$(node_version)" "$wants") != no ]]; then
    detail "Using the stack's npm $npm_version"
    return
  fi
  for tag in 10 9 8 7; do
    wants=$(registry view "npm@latest-$tag" engines.node) || continue
    [[ $(ask fits "$(node_version)" "$wants") == yes ]] || continue
    install_manager npm "$tag"
    return
  done
  install_manager npm 6
}

npm_engines() { "$stack_node" -p 'require(process.argv[1]).engines.node' "$1" 2> /dev/null || true; }

# The package manager whose lock file there is, if it is not npm.
choose_manager() {
  [[ $manager == npm ]] && return
  detail "$manager:   ${manager_range:-unspecified}"
  install_manager "$manager" "$manager_range"
}
