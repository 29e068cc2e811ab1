# Whether the stack's Ruby is the one that an app asks for. Sourced by bin/compile.

choose_ruby() {
  local program wanted has
  for program in ruby bundle; do
    command -v "$program" > /dev/null || fail "This stack has no $program, which a Ruby app needs." \
      'Ask the operator to install it: apt-get install ruby ruby-dev ruby-bundler'
  done
  has=$(ruby -e 'print RUBY_VERSION')
  wanted=$(wanted_ruby)
  if [[ -z $wanted ]]; then
    step "Using the stack's Ruby $has"
    warn 'You have not declared a Ruby version in your Gemfile.' \
      "To set it, add to your Gemfile: ruby \"$has\", and run 'bundle update --ruby'."
    return
  fi
  fits "$wanted" "$has" || fail "Your app asks for Ruby $wanted, which this stack does not have." \
    "It has: $has." "Ask for it in the Gemfile (ruby \"~> ${has%.*}.0\"), run 'bundle update --ruby', and commit."
  step "Using Ruby version: ruby-$has"
}

# What Bundler makes of Gemfile and Gemfile.lock, such as 3.1.2 or ~> 3.1.0.
wanted_ruby() {
  local said
  said=$(app_run bundle platform --ruby) ||
    fail 'Bundler could not read the Gemfile:' "$said"
  sed -nE 's/^ruby (.*)$/\1/p' <<< "$said" | sed -E 's/p[0-9]+$//' | tail -n 1
}

fits() {
  ruby -e 'exit Gem::Requirement.new(ARGV[0].split(",")).satisfied_by?(Gem::Version.new(ARGV[1]))' \
    "$1" "$2" 2> /dev/null
}
