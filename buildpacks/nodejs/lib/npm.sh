# How an app is installed with npm. Sourced by bin/compile.

npm_install() {
  if [[ -n $lock_files ]]; then
    detail "Installing node modules ($lock_files)"
    app_run npm ci --include=dev --prefer-offline | indent || fail "'npm ci' failed; see above." \
      "If package.json and $lock_files disagree, run 'npm install' and commit both."
  else
    warn 'There is no package-lock.json, so versions may change from build to build.' \
      "Make one with 'npm install' and commit it."
    detail 'Installing node modules (package.json)'
    app_run npm install --include=dev --no-package-lock --prefer-offline | indent ||
      fail "'npm install' failed; see above."
  fi
}

npm_prune() {
  local lock_option=--package-lock
  [[ -n $lock_files ]] || lock_option=--no-package-lock
  app_run npm prune --omit=dev --ignore-scripts "$lock_option" | indent ||
    fail "'npm prune' failed; see above."
}
