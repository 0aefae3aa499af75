//! The store, on both databases.
use kernel::{Change, EventFilter, Kind, Query, Resource, Sealer, Secret, Store};
use serde::{Deserialize, Serialize};

struct Thing;
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Body {
    text: String,
}
impl Kind for Thing {
    const KIND: &'static str = "Thing";
    type Spec = Body;
    type Status = Body;
}

#[tokio::test]
async fn what_is_committed_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/store.db", dir.path().display());
    let store = Store::open(&url, Sealer::generate().unwrap())
        .await
        .unwrap();
    let mut change = Change::new();
    let thing = Resource::<Thing>::new("e", "a", Body { text: "x".into() });
    change.create(&thing).unwrap();
    change.seal(thing.meta.uid, "seed", Secret::from("s3cret"));
    let done = store.commit(change).await.unwrap();
    assert_eq!(done.documents.len(), 1);
    let read = store.expect::<Thing>("e", "a").await.unwrap();
    assert_eq!(read.spec.text, "x");
    assert_eq!(
        store.secret(thing.meta.uid, "seed").await.unwrap(),
        Some(Secret::from("s3cret"))
    );
    assert_eq!(
        store
            .list_all::<Thing>(&Query::scope("e"))
            .await
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        store
            .events(&EventFilter::default(), 0, 10)
            .await
            .unwrap()
            .len(),
        1
    );
}
