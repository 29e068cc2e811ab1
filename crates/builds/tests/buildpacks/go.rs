//! Go with its standard library.

use std::fs;

use crate::rig::{App, ask_web};

#[test]
fn the_go_app_is_built_and_named_as_its_web_process() {
    let app = App::example("go-http");
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    let procfile = fs::read_to_string(app.path("tree/Procfile")).expect("written");
    assert_eq!(procfile, "web: bin/web\n");
    assert_eq!(ask_web(&app, "bin/web"), "Hello from web.1: ahoy\n");
    let newer = App::empty().with(&[("go.mod", "module x\n\ngo 99.1\n")]);
    assert!(newer.build().contains(" !     go.mod asks for Go 99.1, but this stack has Go 1."));
}
