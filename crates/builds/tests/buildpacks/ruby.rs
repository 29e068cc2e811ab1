//! Ruby with the gems that Debian packages.

use crate::rig::{App, ask_web};

#[test]
fn the_sinatra_app_runs_with_the_gems_of_the_stack() {
    let app = App::example("ruby-sinatra");
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert_eq!(app.answer("language"), "Ruby/Rack");
    assert!(transcript.contains("All gems of Gemfile.lock are part of the stack."), "{transcript}");
    assert!(app.answer("release.yml").contains("console: bundle exec irb"));
    let said = ask_web(&app, "bundle exec puma -b tcp://0.0.0.0:$PORT");
    assert_eq!(said, "Hello from web.1: ahoy\n");
}

#[test]
fn a_ruby_that_the_stack_lacks_and_a_missing_lock_are_named() {
    let gemfile = "source \"https://rubygems.org\"\nruby \"2.3.0\"\n";
    let lock =
        "GEM\n  remote: https://rubygems.org/\n  specs:\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n";
    let app = App::empty().with(&[("Gemfile", gemfile), ("Gemfile.lock", lock)]);
    let transcript = app.build();
    assert!(
        transcript.contains(" !     Your app asks for Ruby 2.3.0, which this stack does not have."),
        "{transcript}"
    );
    let app = App::empty().with(&[("Gemfile", gemfile)]);
    assert!(app.build().contains(" !     Gemfile.lock required. Please check it in."));
    assert_eq!(app.answer("outcome"), "compile-failed");
}
