# Sourced when a dyno starts.

export LANG=${LANG:-C.UTF-8}
export RACK_ENV=${RACK_ENV:-production}
export BUNDLE_WITHOUT=${BUNDLE_WITHOUT:-development:test}
export BUNDLE_FROZEN=${BUNDLE_FROZEN:-1}
export PUMA_PERSISTENT_TIMEOUT=${PUMA_PERSISTENT_TIMEOUT:-95}
export MALLOC_ARENA_MAX=${MALLOC_ARENA_MAX:-2}
export PATH="$HOME/bin:$HOME/vendor/bundle/bin:$PATH"
