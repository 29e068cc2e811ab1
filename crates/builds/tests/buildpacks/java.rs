//! Java with the Maven plugins that Debian packages.

use crate::rig::{App, ask_web};

#[test]
fn the_java_app_is_built_by_maven() {
    // The plugins that Maven needs come from where Debian packages put them.
    let app = App::example("java-maven")
        .config("MAVEN_CUSTOM_OPTS", "-o -Dmaven.repo.local=/usr/share/maven-repo")
        .config("MAVEN_CUSTOM_GOALS", "package");
    let transcript = app.build();
    assert_eq!(app.answer("outcome"), "compiled", "{transcript}");
    assert!(
        transcript.contains("-----> Using OpenJDK 17 specified in system.properties"),
        "{transcript}"
    );
    assert_eq!(
        ask_web(&app, "java $JAVA_OPTS -cp target/classes demo.Web"),
        "Hello from web.1: ahoy\n"
    );
    let app = app.with(&[("system.properties", "java.runtime.version=1.5\n")]);
    let transcript = app.build();
    assert!(transcript.contains(" !     system.properties asks for Java 5,"), "{transcript}");
    assert!(transcript.contains(" !     It has: 17"), "{transcript}");
}
