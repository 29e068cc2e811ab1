//! Who is let in, over plain HTTP and as git shows it.

use base64::Engine;
use control::accounts;

use crate::client::git;
use crate::platform::Platform;

/// Status, challenge and body of a GET.
fn get(url: &str, credentials: Option<&str>) -> (u16, Option<String>, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut request = config.new_agent().get(url);
    if let Some(pair) = credentials {
        let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
        request = request.header("Authorization", format!("Basic {encoded}"));
    }
    let mut response = request.call().expect("an answer");
    let challenge = response.headers().get("www-authenticate");
    let challenge = challenge.map(|value| value.to_str().expect("text").to_owned());
    let body = response.body_mut().read_to_string().expect("text");
    (response.status().as_u16(), challenge, body)
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_everything_is_a_challenge() {
    let platform = Platform::start().await;
    for app in ["demo", "no-such-app"] {
        let url =
            format!("http://{}/{app}.git/info/refs?service=git-upload-pack", platform.address);
        let (status, challenge, _) = get(&url, None);
        assert_eq!((status, challenge.as_deref()), (401, Some("Basic realm=\"Hythe\"")));
        assert_eq!(get(&url, Some("me@example.com:wrong")).0, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_the_password_of_any_user() {
    let platform = Platform::start().await;
    let url = format!("http://{}/demo.git/info/refs?service=git-receive-pack", platform.address);
    for user in ["", "heroku", "me@example.com"] {
        let pair = format!("{user}:{}", platform.token.reveal());
        let (status, _, body) = get(&url, Some(&pair));
        assert_eq!(status, 200);
        assert!(body.starts_with("001f# service=git-receive-pack\n0000"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_that_are_not_there_or_not_ones_own_look_the_same() {
    let platform = Platform::start().await;
    let other = accounts::create(&platform.control, "other@example.com").await.expect("made").1;
    let tries = [("no-such-app", platform.token.reveal()), ("demo", other.reveal())];
    for (app, token) in tries {
        let url = format!("http://x:{token}@{}/{app}.git", platform.address);
        let run = git(platform.directory.path(), &["ls-remote", &url]).await.refused();
        let run = run.shows(&format!("!     No such app as {app}."));
        run.shows("not found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn git_shows_a_wrong_token_as_such() {
    let platform = Platform::start().await;
    let url = format!("http://x:wrong@{}/demo.git", platform.address);
    let run = git(platform.directory.path(), &["ls-remote", &url]).await;
    run.refused().shows("Invalid credentials provided").shows("Authentication failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_client_is_told_to_be_smarter() {
    let platform = Platform::start().await;
    let pair = format!(":{}", platform.token.reveal());
    let url = format!("http://{}/demo.git/info/refs", platform.address);
    assert_eq!(get(&url, Some(&pair)).0, 403);
    assert_eq!(get(&format!("{url}?service=git-archive"), Some(&pair)).0, 403);
}
