# Rails: assets are built with the app. Sourced by bin/compile.

precompile_assets() {
  [[ -f Rakefile ]] && has_gem rake && has_gem railties || return 0
  step 'Preparing app for Rails asset pipeline'
  # A secret is needed to load the app, and not for more.
  local rake=(env SECRET_KEY_BASE_DUMMY=1 bundle exec rake)
  if [[ -n $(echo public/assets/{manifest-*.json,.sprockets-manifest-*.json,.manifest.json}) ]]; then
    detail 'Detected manifest file, assuming assets were compiled locally'
    return
  fi
  if ! app_run "${rake[@]}" -P > tmp.rake-tasks 2>&1; then
    indent < tmp.rake-tasks
    rm -f tmp.rake-tasks
    fail 'Could not detect rake tasks: the Rakefile or the app could not be loaded; see above.'
  fi
  if grep -qE '^rake assets:precompile$' tmp.rake-tasks; then
    detail 'Running: rake assets:precompile'
    app_run "${rake[@]}" assets:precompile | indent || fail 'Precompiling assets failed; see above.'
    ! grep -qE '^rake assets:clean$' tmp.rake-tasks ||
      app_run "${rake[@]}" assets:clean | indent || fail 'Cleaning assets failed; see above.'
  fi
  rm -f tmp.rake-tasks
}
