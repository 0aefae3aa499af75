//! What containers write.

use std::time::Duration;

use delivery::engine::LogQuery;
use futures::StreamExt as _;

use crate::support::{Subject, container, id};

pub(crate) async fn logs_are_read_and_followed(subject: Subject) {
    let id = id("logs", 1);
    let main = container(
        "for n in 1 2 3 4 5; do echo line $n; done; sleep 0.3; echo oops >&2; sleep 1; echo late; exec sleep 1000",
    );
    subject
        .engine
        .apply(&subject.release(&id, &[("main", main)]))
        .await
        .expect("applies");
    subject.logged("logs", "oops").await;
    let query = LogQuery {
        tail: Some(2),
        follow: true,
        ..LogQuery::default()
    };
    let followed = subject
        .engine
        .logs("dev", "logs", query)
        .await
        .expect("follows");
    let mut lines = Vec::new();
    let until_late = async {
        let mut followed = followed;
        while let Some(line) = followed.next().await {
            let last = line.line == "late";
            lines.push(line);
            if last {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), until_late)
        .await
        .expect("the late line comes");
    assert!(!lines.iter().any(|line| line.line == "line 1"), "{lines:?}");
    let oops = lines
        .iter()
        .find(|line| line.line == "oops")
        .expect("both streams");
    assert_eq!(
        (oops.stream.as_str(), oops.container.as_str(), oops.release),
        ("stderr", "main", 1)
    );
    let none = LogQuery {
        container: Some("other".into()),
        ..LogQuery::default()
    };
    assert!(subject.lines("logs", none).await.is_empty());
    subject.removed(&id).await;
    assert!(
        !subject.lines("logs", LogQuery::default()).await.is_empty()
            || subject.engine.name() == "docker"
    );
    subject.engine.forget("dev", "logs").await.expect("forgets");
    assert!(subject.lines("logs", LogQuery::default()).await.is_empty());
}
