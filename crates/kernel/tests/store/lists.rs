//! Lists, pages and selection by label.

use std::collections::BTreeMap;

use kernel::{ErrorKind, Query};

use crate::support::{Database, Thing, commit, create, thing};

on_both!(
    pages_follow_each_other_in_order,
    labels_select,
    a_forged_cursor_is_refused,
);

async fn pages_follow_each_other_in_order(database: &Database) {
    let store = database.open().await;
    // Orders that collations disagree on: case, hyphens, a scope that is another one's beginning.
    let mut all = vec![];
    for scope in ["", "e", "e-1", "e1", "E"] {
        for name in ["a", "B", "a-b", "ab", "z"] {
            create(&store, &thing(scope, name, 1)).await;
            all.push((scope.to_owned(), name.to_owned()));
        }
    }
    all.sort();
    let mut found = vec![];
    let mut query = Query {
        limit: 4,
        ..Query::default()
    };
    loop {
        let page = store.list::<Thing>(&query).await.unwrap();
        assert!(page.items.len() <= 4);
        found.extend(page.items.into_iter().map(|t| (t.meta.scope, t.meta.name)));
        match page.next {
            Some(next) => query.after = Some(next),
            None => break,
        }
    }
    assert_eq!(found, all);
    let keys = store.keys("Thing", None).await.unwrap();
    let keys: Vec<_> = keys.into_iter().map(|key| (key.scope, key.name)).collect();
    assert_eq!(keys, all);
    let scoped = store.list_all::<Thing>(&Query::scope("e")).await.unwrap();
    assert_eq!(scoped.len(), 5);
    let others = store.documents("Other", &Query::default()).await.unwrap();
    assert!(others.items.is_empty() && others.next.is_none());
}

async fn labels_select(database: &Database) {
    let store = database.open().await;
    let labels = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    };
    for (name, pairs) in [
        ("a", &[("team", "core"), ("tier", "1")][..]),
        ("b", &[("team", "core")]),
        ("c", &[("team", "edge")]),
    ] {
        let mut one = thing("env", name, 1);
        one.meta.labels = labels(pairs);
        create(&store, &one).await;
    }
    let select = async |pairs: &[(&str, &str)]| {
        let query = Query {
            labels: labels(pairs),
            ..Query::default()
        };
        let found = store.list_all::<Thing>(&query).await.unwrap();
        found
            .into_iter()
            .map(|thing| thing.meta.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(select(&[("team", "core")]).await, ["a", "b"]);
    assert_eq!(select(&[("team", "core"), ("tier", "1")]).await, ["a"]);
    assert!(select(&[("team", "core\0")]).await.is_empty());

    let mut moved = store.expect::<Thing>("env", "a").await.unwrap();
    moved.meta.labels = labels(&[("team", "edge")]);
    commit(&store, |change| change.spec(&moved)).await.unwrap();
    assert_eq!(select(&[("team", "core")]).await, ["b"]);
    assert_eq!(select(&[("team", "edge")]).await, ["a", "c"]);
    let gone = store.expect::<Thing>("env", "c").await.unwrap();
    commit(&store, |change| change.remove(&gone)).await.unwrap();
    assert_eq!(select(&[("team", "edge")]).await, ["a"]);
}

async fn a_forged_cursor_is_refused(database: &Database) {
    let store = database.open().await;
    for cursor in ["", "%", "bm9zbGFzaA", "_w"] {
        let query = Query {
            after: Some(cursor.into()),
            ..Query::default()
        };
        let error = store.list::<Thing>(&query).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{cursor}");
    }
}
