# Sourced when a dyno starts.

export PATH="$HOME/.heroku/python/bin:$PATH"
export PYTHONUNBUFFERED=true
export PYTHONPATH="$HOME${PYTHONPATH:+:$PYTHONPATH}"
export LANG=${LANG:-C.UTF-8}
# The router is the only one who can reach a dyno's port, so what it forwards may be trusted.
export FORWARDED_ALLOW_IPS=${FORWARDED_ALLOW_IPS:-*}
export GUNICORN_CMD_ARGS=${GUNICORN_CMD_ARGS:---access-logfile -}

# How many processes of 256 MiB fit into the dyno, at most two for each CPU and one more. Read as
# WEB_CONCURRENCY by gunicorn and uvicorn.
if [[ -z ${WEB_CONCURRENCY:-} ]]; then
  WEB_CONCURRENCY=$(($(_hythe_memory_mib) / 256))
  _hythe_most=$(($(nproc 2> /dev/null || echo 1) * 2 + 1))
  ((WEB_CONCURRENCY > _hythe_most)) && WEB_CONCURRENCY=$_hythe_most
  ((WEB_CONCURRENCY < 1)) && WEB_CONCURRENCY=1
  export WEB_CONCURRENCY
  unset _hythe_most
fi
unset -f _hythe_memory_mib
