# How an app is installed with Yarn, the first one and those since. Sourced by bin/compile.

yarn_is_classic() { [[ $(app_run yarn --version) == [01].* ]]; }

# Packages that stay in archives (Plug'n'Play) are part of the app; otherwise archives are only a
# cache.
yarn_environment() {
  build_vars+=(YARN_ENABLE_GLOBAL_CACHE=false YARN_ENABLE_TELEMETRY=0)
  if grep -qsE '^nodeLinker: *["'\'']?(node-modules|pnpm)' .yarnrc.yml; then
    build_vars+=("YARN_CACHE_FOLDER=$cache_dir/yarn")
  fi
}

yarn_install() {
  detail 'Installing node modules (yarn.lock)'
  if yarn_is_classic; then
    app_run yarn install --frozen-lockfile --non-interactive --ignore-engines --prefer-offline \
      --production=false --cache-folder "$cache_dir/yarn" | indent || yarn_failed
  else
    yarn_environment
    app_run yarn install --immutable --inline-builds | indent || yarn_failed
  fi
}

yarn_failed() {
  fail "'yarn install' failed; see above." \
    "If package.json and yarn.lock disagree, run 'yarn install' and commit both."
}

yarn_prune() {
  if yarn_is_classic; then
    app_run yarn install --frozen-lockfile --non-interactive --ignore-engines --prefer-offline \
      --ignore-scripts --production=true --cache-folder "$cache_dir/yarn" | indent ||
      fail "'yarn install --production' failed; see above."
  elif ! app_run yarn workspaces focus --help > /dev/null; then
    detail 'Skipping because this Yarn lacks the plugin workspace-tools'
  else
    app_run yarn workspaces focus --all --production | indent ||
      fail "'yarn workspaces focus --all --production' failed; see above."
  fi
}
