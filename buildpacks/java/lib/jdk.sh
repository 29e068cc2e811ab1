# Which of the stack's JDKs an app gets. Sourced by bin/compile.

# Lines of `version path`, newest first.
stack_jdks() {
  local dir version
  for dir in /usr/lib/jvm/*/; do
    dir=${dir%/}
    [[ -x $dir/bin/javac && ! -L $dir ]] || continue
    version=$("$dir/bin/javac" -version 2>&1 | sed -nE 's/^javac (1\.)?([0-9]+).*/\2/p')
    [[ -n $version ]] && echo "$version $dir"
  done | sort -rn
}

# What system.properties asks for: a major version, with or without what follows it.
wanted_jdk() {
  local wanted
  wanted=$(sed -nE 's/^[[:space:]]*java\.runtime\.version[[:space:]]*[=:][[:space:]]*([^[:space:]]+).*/\1/p' \
    system.properties 2> /dev/null | tail -n 1)
  wanted=${wanted##*-}
  wanted=${wanted#1.}
  echo "${wanted%%.*}"
}

# Sets `jdk` to the directory of the JDK that fits.
choose_jdk() {
  local jdks wanted list
  jdks=$(stack_jdks)
  [[ -n $jdks ]] || fail 'This stack has no JDK, which a Java app needs.' \
    'Ask the operator to install one: apt-get install default-jdk-headless maven'
  wanted=$(wanted_jdk)
  if [[ -z $wanted ]]; then
    jdk=$(head -n 1 <<< "$jdks")
    step "No Java version was specified. Using the stack's OpenJDK ${jdk%% *}"
  elif ! jdk=$(grep -m 1 "^$wanted " <<< "$jdks"); then
    list=$(cut -d ' ' -f 1 <<< "$jdks" | sort -un | paste -sd ,)
    fail "system.properties asks for Java $wanted, which this stack does not have." \
      "It has: ${list//,/, }." \
      'Write one of them into system.properties: java.runtime.version=17'
  else
    step "Using OpenJDK $wanted specified in system.properties"
  fi
  jdk=${jdk#* }
}

# JAVA_TOOL_OPTIONS keep the heap within the dyno's memory.
write_profile() {
  mkdir -p .profile.d
  {
    printf 'export JAVA_HOME=%q\n' "$jdk"
    cat "$pack_dir"/{lib/memory,profile/java}.sh
  } > .profile.d/java.sh
  printf 'export JAVA_HOME=%q\nexport PATH=%q/bin:$PATH\n' "$jdk" "$jdk" > "$pack_dir/export"
}
