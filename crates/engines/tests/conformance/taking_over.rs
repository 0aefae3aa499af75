//! Taking over what another start of the platform, or another replica, has started.

use delivery::engine::{Before, LogQuery, Phase, ReleaseState};

use crate::support::{Subject, container, http_probe, id, port, serves};

pub(crate) async fn an_engine_that_starts_again_takes_over(subject: Subject) {
    let id = id("adopted", 1);
    let mut web = container(&serves("echo run"));
    web.readiness = http_probe("/");
    let mut once = container("echo migrated");
    once.before.insert("web".into(), Before::Complete);
    let mut release = subject.release(&id, &[("web", web), ("migrate", once)]);
    release.ports = port();
    subject.engine.apply(&release).await.expect("applies");
    let before = subject.ready(&id).await;

    let subject = subject.again().await;
    let adopted = subject.ready(&id).await;
    assert_eq!(adopted.digest, release.digest);
    subject.engine.apply(&release).await.expect("applies");
    let after = subject.ready(&id).await;
    assert_eq!(after.endpoints, before.endpoints);
    assert_eq!(
        after.containers["web"].handle,
        before.containers["web"].handle
    );
    let lines = subject.lines("adopted", LogQuery::default()).await;
    assert_eq!(lines, ["migrated", "run"], "something was started twice");

    // From now on it is started again when it ends.
    subject.end(&after.containers["web"]);
    let restarted = subject
        .until(&id, |state| state.containers["web"].restarts == 1)
        .await;
    assert!(restarted.containers["web"].last_exit.is_some());
    subject.ready(&id).await;
    subject.removed(&id).await;
}

pub(crate) async fn what_was_not_ready_yet_is_not_taken_for_ready(subject: Subject) {
    let id = id("begun", 1);
    let mut web = container(&serves("echo run"));
    web.readiness = http_probe("/ready");
    let gets_ready = "(sleep 3; echo filled; echo yes > www/ready) & exec";
    web.command[3] = web.command[3].replace("exec", gets_ready);
    let mut release = subject.release(&id, &[("web", web)]);
    release.ports = port();
    subject.engine.apply(&release).await.expect("applies");
    subject
        .until(&id, |state| state.message.contains("404"))
        .await;

    let subject = subject.again().await;
    let is_asked = |state: &ReleaseState| state.phase == Phase::Ready && !state.presumed;
    assert!(!is_asked(&subject.state(&id).await));
    subject.engine.apply(&release).await.expect("applies");
    subject.until(&id, is_asked).await;
    let lines = subject.lines("begun", LogQuery::default()).await;
    assert_eq!(lines, ["run", "filled"], "ready too early");
    subject.removed(&id).await;
}

pub(crate) async fn another_replica_takes_over(first: Subject) {
    let second = first.replica().await;
    let id = id("handed-over", 1);
    let mut release = first.release(&id, &[("web", container(&serves("echo run")))]);
    release.ports = port();
    first.engine.apply(&release).await.expect("applies");
    let before = first.ready(&id).await;
    // Who does not reconcile sees what the other does.
    assert_eq!(second.ready(&id).await.endpoints, before.endpoints);

    first.engine.stand_down().await;
    second.engine.apply(&release).await.expect("applies");
    let after = second.ready(&id).await;
    assert_eq!(
        after.containers["web"].handle,
        before.containers["web"].handle
    );
    // Ended, it is started again by the one alone.
    second.end(&after.containers["web"]);
    second
        .until(&id, |state| state.containers["web"].restarts == 1)
        .await;
    second.ready(&id).await;
    let lines = second.lines("handed-over", LogQuery::default()).await;
    assert_eq!(lines, ["run", "run"]);

    // Taken away by the one, it is gone for the other.
    second.removed(&id).await;
    assert_eq!(first.engine.observe(&id).await.expect("observes"), None);
}
