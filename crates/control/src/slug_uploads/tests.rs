//! From an announcement to a slug.

use super::*;
use crate::releases;
use crate::testing::Lab;

fn new(checksum: Option<String>) -> NewUpload {
    NewUpload {
        process_types: [("web".to_owned(), "run".to_owned())].into(),
        checksum,
        commit: Some("409cdef5".to_owned()),
        buildpack_description: None,
        stack: None,
    }
}

#[tokio::test]
async fn an_announced_slug_is_uploaded_once_packed_and_released() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    let made = create(&lab.control, &lab.who, app.id, new(None)).await.expect("announced");
    let early = packed(&lab.control, app.id, made.id).await.expect_err("nothing there");
    assert!(early.to_string().starts_with("Nothing was uploaded"), "{early}");
    upload(&lab.control, made.id, &b"archive"[..]).await.expect("uploaded");
    let again = upload(&lab.control, made.id, &b"other"[..]).await.expect_err("refused");
    assert!(matches!(again, Error::Conflict(_)));
    let waiting = waiting(&lab.control).await.expect("listed");
    assert_eq!(waiting.len(), 1);
    let image = lab.control.blobs.put(&b"image"[..], 100).await.expect("stored");
    let pack = async {
        tokio::task::yield_now().await;
        succeed(&lab.control, made.id, image).await
    };
    let (waited, done) = tokio::join!(packed(&lab.control, app.id, made.id), pack);
    waited.and(done).expect("packed");
    let release = releases::create(&lab.control, &lab.who, app.id, made.id, None).await;
    assert_eq!(release.expect("released").description, "Deploy 409cdef5");
}

#[tokio::test]
async fn a_checksum_is_demanded_and_what_cannot_be_a_slug_says_why() {
    let lab = Lab::new().await;
    let app = lab.app("demo").await;
    for bad in ["SHA256:12", "md5:aa", ""] {
        let refused = create(&lab.control, &lab.who, app.id, new(Some(bad.to_owned()))).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{bad}");
    }
    let checksum = Some(format!("SHA256:{}", "0".repeat(64)));
    let made = create(&lab.control, &lab.who, app.id, new(checksum)).await.expect("announced");
    let refused = upload(&lab.control, made.id, &b"archive"[..]).await.expect_err("refused");
    assert!(refused.to_string().contains("Actual: SHA256:"), "{refused}");
    let other = create(&lab.control, &lab.who, app.id, new(None)).await.expect("announced");
    upload(&lab.control, other.id, &b"archive"[..]).await.expect("uploaded");
    fail(&lab.control, other.id, "No archive.".to_owned()).await.expect("noted");
    let why = packed(&lab.control, app.id, other.id).await.expect_err("failed");
    assert_eq!(why.to_string(), "No archive.");
}
