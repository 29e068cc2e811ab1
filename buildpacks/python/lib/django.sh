# Django: static files are collected while the app is built. Sourced by bin/compile.

collect_static() {
  local manage
  manage=$(find . -maxdepth 3 -type f -name manage.py -not -path './.heroku/*' -print -quit)
  [[ -n $manage ]] && app_run python -c 'import django' > /dev/null || return 0
  hint_at_web
  if [[ -n $(config_var DISABLE_COLLECTSTATIC '') ]]; then
    step '$ python manage.py collectstatic --noinput'
    detail 'Skipping: DISABLE_COLLECTSTATIC is set.'
    return
  fi
  if ! app_run python "$manage" help --commands | grep -x collectstatic > /dev/null; then
    detail 'Skipping collectstatic: django.contrib.staticfiles is not among INSTALLED_APPS,'
    detail "or the settings could not be loaded ('python $manage help' says which)."
    return
  fi
  step "\$ python ${manage#./} collectstatic --noinput"
  app_run python "$manage" collectstatic --noinput --traceback | indent ||
    fail "Error while running '\$ python ${manage#./} collectstatic --noinput'; see above." \
      'You may need to change the settings that the app has for static files,' \
      'or switch this step off: heroku config:set DISABLE_COLLECTSTATIC=1'
}

# Unlike other buildpacks this one knows no default web process.
hint_at_web() {
  local wsgi project
  grep -qs '^web:' Procfile && return
  wsgi=$(find . -maxdepth 3 -type f -name wsgi.py -not -path './.heroku/*' -print -quit)
  project=${wsgi#./}
  project=${project%.py}
  warn 'This Django app has no web process in a Procfile. If it is to answer requests, add' \
    "gunicorn to requirements.txt and a line to the Procfile: web: gunicorn ${project//\//.}"
}
