//! What will not heal by waiting is known before a deadline; what may heal is waited for.

mod support;

use std::time::Duration;

use delivery::engine::{Phase, ReleaseRef, ReleaseState};
use support::{Subject, container, id, port, ports};
use testkit::free_port;

/// What a release that is known to fail must be told soon enough.
fn hurried(timing: &mut towpath_engines::Timing) {
    timing.ends_in_a_row = 4;
    timing.misplaced = Duration::from_secs(2);
}

async fn process(directory: &std::path::Path) -> Subject {
    support::process_with(directory, hurried).await
}

/// A piece of a script that takes all of a processor for so many seconds.
fn works(seconds: u32) -> String {
    let now = "$(/bin/busybox date +%s)";
    format!("end=$(({now} + {seconds})); while [ {now} -lt $end ]; do :; done")
}

/// Waits until the release is ready, and sees to it that nobody gave it up before.
async fn gets_ready(subject: &Subject, id: &ReleaseRef) -> ReleaseState {
    let ready = |state: &ReleaseState| {
        assert!(!state.lasting, "{state:#?}");
        state.phase == Phase::Ready
    };
    subject.until(id, ready).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_listens_elsewhere_and_rests_there() {
    let directory = tempfile::tempdir().unwrap();
    let subject = process(directory.path()).await;
    let (id, other) = (id("elsewhere", 1), free_port());
    let script = format!("exec /bin/busybox httpd -f -p 127.0.0.1:{other}");
    let mut release = subject.release(&id, &[("web", container(&script))]);
    release.ports = port();
    subject.engine.apply(&release).await.unwrap();
    let told = format!("the program listens on {other}");
    let first = subject
        .until(&id, |state| state.message.contains(&told))
        .await;
    assert!(
        !first.lasting,
        "it may be about to open its own: {first:#?}"
    );
    let state = subject.until(&id, |state| state.lasting).await;
    assert_eq!(state.phase, Phase::Starting);
    assert!(state.message.contains(&told), "{}", state.message);
    subject.removed(&id).await;
}

/// Runs one who serves one of its ports, `open` by its variable, and nothing at `missing`; whoever reads the message
/// can tell which is which.
async fn serves_another_of_its_ports(subject: &Subject, open: (&str, &str), missing: (&str, &str)) {
    let id = id(&format!("{}-alone", open.0), 1);
    let script = format!("exec /bin/busybox httpd -f -p ${}", open.1);
    let mut release = subject.release(&id, &[("web", container(&script))]);
    release.ports = ports(&[(open.0, 8081), (missing.0, 8080)]);
    subject.engine.apply(&release).await.unwrap();
    let state = subject.until(&id, |state| state.lasting).await;
    for told in [
        format!("nothing listens on port {} (", missing.0),
        format!("but the program listens on port {} (", open.0),
        format!("the variable {} tells it port {}", missing.1, missing.0),
        format!("{} port {}", open.1, open.0),
    ] {
        assert!(state.message.contains(&told), "{told}: {}", state.message);
    }
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_listens_on_another_of_its_ports() {
    let directory = tempfile::tempdir().unwrap();
    let subject = process(directory.path()).await;
    serves_another_of_its_ports(&subject, ("web", "PORT"), ("admin", "PORT_ADMIN")).await;
    serves_another_of_its_ports(&subject, ("udp", "PORT_UDP"), ("web", "PORT")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_listens_on_another_of_its_ports() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker_with(directory.path(), hurried).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    serves_another_of_its_ports(&subject, ("admin", "PORT_ADMIN"), ("web", "PORT")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_at_which_a_stranger_listens_is_not_served() {
    let directory = tempfile::tempdir().unwrap();
    let subject = process(directory.path()).await;
    let id = id("robbed", 1);
    let mut release = subject.release(&id, &[("web", container("exec /bin/busybox sleep 60"))]);
    release.ports = port();
    subject.engine.apply(&release).await.unwrap();
    let state = subject
        .until(&id, |state| !state.endpoints.is_empty())
        .await;
    let address = *state.endpoints.values().next().unwrap();
    let _stranger = std::net::TcpListener::bind(address).unwrap();
    let told = |state: &ReleaseState| state.message.contains("another program listens");
    let state = subject
        .until(&id, |state| state.phase == Phase::Ready || told(state))
        .await;
    assert_eq!(state.phase, Phase::Starting, "{state:#?}");
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_slow_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let subject = process(directory.path()).await;
    // Listens nowhere for longer than one that listens elsewhere is given.
    let id_of_silent = id("silent", 1);
    let script = support::serves("sleep 6");
    let mut silent = subject.release(&id_of_silent, &[("web", container(&script))]);
    silent.ports = port();
    // Is at work on its start, with a port for its operators open already.
    let (id_of_busy, other) = (id("busy", 1), free_port());
    let script = support::serves(&format!(
        "/bin/busybox httpd -p 127.0.0.1:{other}; {}",
        works(6)
    ));
    let mut busy = subject.release(&id_of_busy, &[("web", container(&script))]);
    busy.ports = port();
    // The same, and its work is that of children which end one after the other.
    let (id_of_parent, other) = (id("parent", 1), free_port());
    let script = support::serves(&format!(
        "/bin/busybox httpd -p 127.0.0.1:{other}; \
         for i in 1 2 3 4 5 6; do /bin/busybox sh -c '{}'; done",
        works(1)
    ));
    let mut parent = subject.release(&id_of_parent, &[("web", container(&script))]);
    parent.ports = port();
    for release in [&silent, &busy, &parent] {
        subject.engine.apply(release).await.unwrap();
    }
    tokio::join!(
        gets_ready(&subject, &id_of_silent),
        gets_ready(&subject, &id_of_busy),
        gets_ready(&subject, &id_of_parent)
    );
    for id in [&id_of_silent, &id_of_busy, &id_of_parent] {
        subject.removed(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_again_and_again() {
    let directory = tempfile::tempdir().unwrap();
    let subject = process(directory.path()).await;
    // In the same way each time, and in another each time.
    let tries = directory.path().join("tries");
    let tries = tries.display();
    let counts = format!("echo x >> {tries}; exit $(wc -l < {tries})");
    for (name, script, code) in [
        ("loops", "echo no configuration; exit 3", 3),
        ("changes", counts.as_str(), 4),
    ] {
        let id = id(name, 1);
        let release = subject.release(&id, &[("main", container(script))]);
        subject.engine.apply(&release).await.unwrap();
        let state = subject.until(&id, |state| state.lasting).await;
        assert!(state.containers["main"].restarts >= 3, "{state:#?}");
        let expected = format!("ended 4 times in a row, last with exit code {code}");
        assert!(state.message.contains(&expected), "{}", state.message);
        subject.removed(&id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ends_while_what_it_needs_is_away_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let subject = process(directory.path()).await;
    let id = id("needs", 1);
    // Ends twice, and then it is there.
    let tries = directory.path().join("tries");
    let tries = tries.display();
    let first = format!("echo x >> {tries}; [ $(wc -l < {tries}) -gt 2 ] || exit 1");
    let mut release = subject.release(&id, &[("web", container(&support::serves(&first)))]);
    release.ports = port();
    subject.engine.apply(&release).await.unwrap();
    let state = gets_ready(&subject, &id).await;
    assert_eq!(state.containers["web"].restarts, 2);
    // Once it was ready, no deployment waits for it: however it ends.
    for _ in 0..6 {
        let before = subject.state(&id).await;
        let ended = &before.containers["web"];
        subject.end(ended);
        let again = |state: &ReleaseState| {
            assert!(!state.lasting, "{state:#?}");
            state.containers["web"].restarts > ended.restarts && state.phase == Phase::Ready
        };
        subject.until(&id, again).await;
    }
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_listens_elsewhere_or_on_localhost_alone() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker_with(directory.path(), hurried).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    for (name, listens, told) in [
        ("elsewhere", "0.0.0.0:8081", "the program listens on 8081"),
        ("local", "127.0.0.1:8080", "8080 of localhost only"),
    ] {
        let id = id(name, 1);
        let script = format!("exec /bin/busybox httpd -f -p {listens}");
        let mut release = subject.release(&id, &[("web", container(&script))]);
        release.ports = port();
        subject.engine.apply(&release).await.unwrap();
        let state = subject.until(&id, |state| state.lasting).await;
        assert!(state.message.contains(told), "{}", state.message);
        subject.removed(&id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_slow_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker_with(directory.path(), hurried).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    let id = id("slow", 1);
    let script = "sleep 5; exec /bin/busybox httpd -f -p 8080";
    let mut release = subject.release(&id, &[("web", container(script))]);
    release.ports = port();
    subject.engine.apply(&release).await.unwrap();
    gets_ready(&subject, &id).await;
    subject.removed(&id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_works_is_waited_for_whoever_has_opened_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let Some(subject) = support::docker_with(directory.path(), hurried).await else {
        return;
    };
    let _cleaned = support::Cleaned(subject.platform);
    // Another container rests, with a port that nobody declared: the network is that of both.
    let id_of_pair = id("pair", 1);
    let proxy = container("exec /bin/busybox httpd -f -p 8081");
    let serve = "exec /bin/busybox httpd -f -p 8080";
    let web = container(&format!("{}; {serve}", works(6)));
    let mut pair = subject.release(&id_of_pair, &[("proxy", proxy), ("web", web)]);
    pair.ports = port();
    // The main process itself does nothing: its children do, and end.
    let id_of_parent = id("parent", 1);
    let script = format!(
        "/bin/busybox httpd -p 8081; for i in 1 2 3 4 5 6; do /bin/busybox sh -c '{}'; done; {serve}",
        works(1)
    );
    let mut parent = subject.release(&id_of_parent, &[("web", container(&script))]);
    parent.ports = port();
    subject.engine.apply(&pair).await.unwrap();
    subject.engine.apply(&parent).await.unwrap();
    tokio::join!(
        gets_ready(&subject, &id_of_pair),
        gets_ready(&subject, &id_of_parent)
    );
    subject.removed(&id_of_pair).await;
    subject.removed(&id_of_parent).await;
}
