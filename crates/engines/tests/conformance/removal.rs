//! Removal: whole, and holding up no other.

use std::time::Duration;

use crate::support::{self, Subject, container, id};

pub(crate) async fn nothing_escapes_removal(subject: Subject) {
    let id = id("escapes", 1);
    // Without control groups it is by its environment that a process is known: then it keeps it.
    let cleared = if subject.warns_of_limits() {
        ""
    } else {
        "/bin/busybox env -i"
    };
    let mark = format!("60{}", std::process::id());
    let script = format!(
        "(setsid {cleared} /bin/busybox sh -c 'trap \"\" TERM; echo away; \
         while true; do /bin/busybox sleep {mark}; done' &); \
         trap '' TERM; while true; do sleep {mark}; done"
    );
    let release = subject.release(&id, &[("main", container(&script))]);
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("escapes", "away").await;
    assert!(!support::running(&mark).is_empty());
    subject.removed(&id).await;
    assert_eq!(support::running(&mark), Vec::<String>::new());
}

pub(crate) async fn a_slow_stop_holds_up_no_other(subject: Subject) {
    let (slow, other) = (id("slow", 1), id("other", 1));
    let ignores = container("trap '' TERM; echo on; while true; do sleep 1; done");
    let release = subject.release(&slow, &[("main", ignores)]);
    subject.engine.apply(&release).await.expect("applies");
    subject.logged("slow", "on").await;
    let stop = subject.engine.remove(&slow, Duration::from_secs(20));
    let meanwhile = async {
        // Its stop has begun by then: the first thing that it does.
        tokio::task::yield_now().await;
        let quick = container("echo here; exec sleep 1000");
        let release = subject.release(&other, &[("main", quick)]);
        subject.engine.apply(&release).await.expect("applies");
        subject.logged("other", "here").await;
        let removed = subject.engine.remove(&other, Duration::ZERO);
        removed.await.expect("removes");
    };
    tokio::select! {
        biased;
        stopped = stop => panic!("the other had to wait: {stopped:?}"),
        () = meanwhile => {}
    }
    subject.removed(&slow).await;
}

pub(crate) async fn what_is_half_removed_is_found_again(subject: Subject) {
    let id = id("left", 1);
    let release = subject.release(&id, &[("main", container("exec sleep 1000"))]);
    subject.engine.apply(&release).await.expect("applies");
    subject.ready(&id).await;
    let subject = subject.again().await;
    assert_eq!(
        subject.engine.list().await.expect("lists"),
        vec![id.clone()]
    );
    subject.removed(&id).await;
    let subject = subject.again().await;
    assert_eq!(subject.engine.list().await.expect("lists"), Vec::new());
}
