# How an app is installed with pnpm. Sourced by bin/compile.

# Nobody is there to be asked.
pnpm_options=("--config.store-dir=$cache_dir/pnpm" --config.confirmModulesPurge=false)

pnpm_install() {
  detail 'Installing node modules (pnpm-lock.yaml)'
  app_run pnpm install --frozen-lockfile --prod=false --prefer-offline \
    "${pnpm_options[@]}" | indent ||
    fail "'pnpm install' failed; see above." \
      "If package.json and pnpm-lock.yaml disagree, run 'pnpm install' and commit both."
}

# The app's own scripts have run already.
pnpm_prune() {
  app_run pnpm prune --prod --ignore-scripts "${pnpm_options[@]}" | indent ||
    fail "'pnpm prune' failed; see above."
}
