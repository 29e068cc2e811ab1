//! Uploads.

use tokio::io::AsyncReadExt;

use super::*;
use crate::testing::Lab;

#[tokio::test]
async fn a_source_is_uploaded_once_and_read_back() {
    let lab = Lab::new().await;
    let source = create(&lab.control, &lab.who, None).await.expect("made");
    assert!(matches!(open(&lab.control, source.id).await, Err(Error::NotFound(_))));
    upload(&lab.control, source.id, &b"archive"[..], 100).await.expect("uploaded");
    let again = upload(&lab.control, source.id, &b"other"[..], 100).await;
    assert!(matches!(again, Err(Error::Conflict(_))));
    let mut text = String::new();
    let mut file = open(&lab.control, source.id).await.expect("opened");
    file.read_to_string(&mut text).await.expect("read");
    assert_eq!(text, "archive");
}

#[tokio::test]
async fn oversize_unknown_and_foreign_sources_are_refused() {
    let lab = Lab::new().await;
    let source = create(&lab.control, &lab.who, None).await.expect("made");
    let large = upload(&lab.control, source.id, &b"archive"[..], 6).await;
    assert!(matches!(large, Err(Error::TooLarge { limit: 6 })));
    assert!(find(&lab.control, source.id).await.expect("found").blob.is_none());
    let unknown = upload(&lab.control, SourceId::random(), &b"archive"[..], 100).await;
    assert!(matches!(unknown, Err(Error::NotFound(Resource::Source))));
    let (app, eve) = (lab.app("demo").await, lab.stranger().await);
    assert!(create(&lab.control, &eve, Some(app.id)).await.is_err());
}
