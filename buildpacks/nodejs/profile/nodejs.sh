# Sourced when a dyno starts.

export NODE_ENV=${NODE_ENV:-production}
export NPM_CONFIG_UPDATE_NOTIFIER=${NPM_CONFIG_UPDATE_NOTIFIER:-false}
export PATH="$HOME/.heroku/bin:$HOME/.heroku/node/bin:$PATH:$HOME/bin:$HOME/node_modules/.bin"

# How many processes of WEB_MEMORY MiB fit into the dyno. Read as WEB_CONCURRENCY by cluster modules.
[[ ${WEB_MEMORY:-} =~ ^[1-9][0-9]{0,8}$ ]] || WEB_MEMORY=512
export WEB_MEMORY
export MEMORY_AVAILABLE=${MEMORY_AVAILABLE:-$(_hythe_memory_mib)}
if [[ -z ${WEB_CONCURRENCY:-} ]]; then
  WEB_CONCURRENCY=$((MEMORY_AVAILABLE / WEB_MEMORY))
  # Without a limit the machine's own memory says nothing about this app.
  ((WEB_CONCURRENCY < 1 || WEB_CONCURRENCY > 200)) && WEB_CONCURRENCY=1
  export WEB_CONCURRENCY
fi
unset -f _hythe_memory_mib
