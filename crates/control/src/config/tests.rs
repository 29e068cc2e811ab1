//! Config vars and their releases.

use super::*;
use crate::testing::Lab;

fn set(name: &str, value: &str) -> (String, Option<String>) {
    (name.to_owned(), Some(value.to_owned()))
}

fn unset(name: &str) -> (String, Option<String>) {
    (name.to_owned(), None)
}

#[tokio::test]
async fn each_change_is_a_release_with_all_vars_and_says_so() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.said();
    let odd = "x $HOME \"q\" é\n";
    let changes = vec![set("B", odd), set("A", "1")];
    let after = change(&lab.control, &lab.who, app.id, changes).await.expect("changed");
    assert_eq!(after.get("B"), Some(odd));
    let changes = vec![unset("A"), set("C", "")];
    change(&lab.control, &lab.who, app.id, changes).await.expect("changed");
    assert_eq!(
        lab.said(),
        [
            "Set B, A config vars by user ada@example.com",
            "Release v3 created by user ada@example.com",
            "Set C and remove A config vars by user ada@example.com",
            "Release v4 created by user ada@example.com",
        ]
    );
    let all = crate::releases::list(&lab.control, &lab.who, app.id).await.expect("listed");
    let names = |version: usize| all[version - 1].config.0.keys().cloned().collect::<Vec<_>>();
    assert_eq!([names(2), names(3), names(4)], [vec![], vec!["A", "B"], vec!["B", "C"]]);
    let now = get(&lab.control, &lab.who, app.id).await.expect("got");
    assert_eq!(now, all[3].config);
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_a_release_and_an_empty_one_is_none() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    for _ in 0..2 {
        let changes = vec![set("A", "1")];
        change(&lab.control, &lab.who, app.id, changes).await.expect("changed");
    }
    change(&lab.control, &lab.who, app.id, vec![]).await.expect("nothing to do");
    assert_eq!(lab.ledger(&app).await.len(), 4);
}

#[tokio::test]
async fn a_refused_change_leaves_everything() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    lab.said();
    let changes = vec![set("A", "1"), set("1B", "2")];
    let refused = change(&lab.control, &lab.who, app.id, changes).await;
    assert!(matches!(refused, Err(Error::Invalid(text)) if text.contains("`1B`")));
    assert_eq!(get(&lab.control, &lab.who, app.id).await.expect("got"), ConfigVars::default());
    assert_eq!((lab.ledger(&app).await.len(), lab.said().len()), (2, 0));
    let eve = lab.stranger().await;
    let foreign = change(&lab.control, &eve, app.id, vec![set("A", "1")]).await;
    assert!(matches!(foreign, Err(Error::NotFound(Resource::App))));
    assert!(get(&lab.control, &eve, app.id).await.is_err());
}

#[tokio::test]
async fn values_are_not_in_the_database_file_in_the_clear() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let secret = "a-very-secret-value";
    change(&lab.control, &lab.who, app.id, vec![set("A", secret)]).await.expect("changed");
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(lab.directory.path()).expect("listed") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            bytes.extend(std::fs::read(path).expect("read"));
        }
    }
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("Set A config vars"), "the test reads the right files");
    assert!(!holds(secret));
}
