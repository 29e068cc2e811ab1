export PATH="$JAVA_HOME/bin:$PATH"
export LANG=${LANG:-C.UTF-8}

# Heroku's sizes: the heap gets three fifths of a small dyno's memory, four fifths of a large one's.
if [[ ${JAVA_OPTS:-}${JAVA_TOOL_OPTIONS:-} != *-Xmx* ]]; then
  _hythe_mib=$(_hythe_memory_mib)
  if ((_hythe_mib <= 512)); then
    _hythe_heap="-Xmx$((_hythe_mib * 3 / 5))m -Xss512k"
  else
    _hythe_heap="-Xmx$((_hythe_mib * 4 / 5))m"
  fi
  export JAVA_TOOL_OPTIONS="$_hythe_heap -Dfile.encoding=UTF-8${JAVA_TOOL_OPTIONS:+ $JAVA_TOOL_OPTIONS}"
  unset _hythe_mib _hythe_heap
fi
unset -f _hythe_memory_mib

# For Spring and plain JDBC, from what a database add-on says.
if [[ ${DATABASE_URL:-} =~ ^postgres(ql)?://([^:@]+):([^@]+)@([^/]+)/([^?]+) ]]; then
  export JDBC_DATABASE_URL="jdbc:postgresql://${BASH_REMATCH[4]}/${BASH_REMATCH[5]}?user=${BASH_REMATCH[2]}&password=${BASH_REMATCH[3]}"
  export JDBC_DATABASE_USERNAME=${BASH_REMATCH[2]} JDBC_DATABASE_PASSWORD=${BASH_REMATCH[3]}
  export SPRING_DATASOURCE_URL=${SPRING_DATASOURCE_URL:-$JDBC_DATABASE_URL}
  export SPRING_DATASOURCE_USERNAME=${SPRING_DATASOURCE_USERNAME:-$JDBC_DATABASE_USERNAME}
  export SPRING_DATASOURCE_PASSWORD=${SPRING_DATASOURCE_PASSWORD:-$JDBC_DATABASE_PASSWORD}
fi
