//! What becomes of a deployment when a provisioner or a workload fails, and when data would be lost.

use kernel::{Caller, ErrorKind};
use serde_json::json;
use towpath_delivery::{
    api::Rollback,
    model::{DeploymentPhase, InstancePhase, begin_release},
};

use crate::room::{LONG, Room};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_is_waited_for_and_says_so() {
    let room = Room::open().await;
    room.shelf.fails("the shelf is locked", true);
    let deployment = room.deploy("notes:1", &[("box", 1)], &[]).await;
    let waits = testkit::eventually("it is tried again", LONG, || async {
        let thing = room.thing("box").await?;
        (thing.status.phase == InstancePhase::Retrying && thing.status.attempts >= 2)
            .then_some(thing)
    })
    .await;
    assert!(
        waits.status.message.contains("the shelf is locked"),
        "{:?}",
        waits.status
    );
    assert_eq!(waits.status.remedy.as_deref(), Some("wait"));
    let open = room.deployment(&deployment.meta.name).await;
    assert!(!open.status.phase.is_final());
    assert!(
        room.stage.runs().is_empty(),
        "nothing starts before what it needs"
    );

    room.shelf.mends();
    room.succeeded(&deployment).await;
    let thing = room.thing("box").await.unwrap();
    assert_eq!(
        (thing.status.phase, thing.status.attempts),
        (InstancePhase::Ready, 0)
    );
    assert_eq!(thing.status.message, "");
    assert_eq!(room.shelf.sizes(), [json!(1)]);
    assert_eq!(room.stage.runs(), ["notes@1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_other_try_mends_fails_the_deployment_at_once() {
    let room = Room::open().await;
    room.shelf.fails("there is no shelf of that size", false);
    let deployment = room.deploy("notes:1", &[("box", 9)], &[]).await;
    let failed = room.ended(&deployment).await;
    assert_eq!(failed.status.phase, DeploymentPhase::Failed);
    let failure = failed.status.failure.unwrap();
    assert_eq!(failure.step, "create");
    assert!(
        failure.subject.contains("thing.default#notes.box"),
        "{failure:?}"
    );
    assert!(
        failure.message.contains("there is no shelf of that size"),
        "{failure:?}"
    );
    assert!(room.stage.runs().is_empty());

    // What failed before does not speak against who asks again.
    room.shelf.mends();
    let again = room.deploy("notes:1", &[("box", 9)], &[]).await;
    room.succeeded(&again).await;
    assert_eq!(room.shelf.sizes(), [json!(9)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_was_good_is_not_returned_to() {
    let room = Room::open().await;
    let back = async |to: &str| {
        let to = Rollback {
            to: Some(to.to_owned()),
            ..Rollback::default()
        };
        room.delivery
            .rollback(&Caller::local_admin(), "dev", to)
            .await
    };
    let failed = room.ended(&room.deploy_briefly("broken").await).await;
    assert_eq!(failed.status.phase, DeploymentPhase::Failed);
    let none = back("d-1").await.unwrap_err();
    assert_eq!(none.kind, ErrorKind::Conflict, "{none}");
    assert!(none.remedy.unwrap().contains("there is no good one yet"));

    room.succeeded(&room.deploy("notes:1", &[], &[]).await)
        .await;
    let named = back("d-1").await.unwrap_err();
    assert_eq!(named.kind, ErrorKind::Conflict, "{named}");
    assert!(named.message.contains("`d-1` failed"), "{named}");
    let remedy = named.remedy.unwrap();
    assert!(remedy.contains("--to: `d-2`;"), "{remedy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_already_is_not_returned_to() {
    let room = Room::open().await;
    let back = async |to: Option<&str>| {
        let to = Rollback {
            to: to.map(str::to_owned),
            ..Rollback::default()
        };
        room.delivery
            .rollback(&Caller::local_admin(), "dev", to)
            .await
    };
    let refused = async |to: &str| {
        let release = room.workload().await.spec.highest_release;
        let refusal = back(Some(to)).await.unwrap_err();
        assert_eq!(refusal.kind, ErrorKind::Conflict, "{refusal}");
        let told = format!("deployment `{to}` already runs in environment `dev`");
        assert!(refusal.message.starts_with(&told), "{refusal}");
        assert_eq!(room.workload().await.spec.highest_release, release);
    };
    for image in ["notes:1", "notes:2"] {
        room.succeeded(&room.deploy(image, &[("box", 1)], &[]).await)
            .await;
    }
    refused("d-2").await;
    let returned = room.succeeded(&back(None).await.unwrap()).await;
    assert_eq!(returned.spec.rollback_to.as_deref(), Some("d-1"));
    // By itself, and as what it returned to.
    refused("d-3").await;
    refused("d-1").await;

    // What was deployed since may be another program by the same name.
    room.succeeded(&room.deploy("notes:1", &[("box", 1)], &[]).await)
        .await;
    room.succeeded(&back(Some("d-1")).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_again_and_again_is_told_with_how_and_how_often() {
    let room = Room::open().await;
    let failed = room.ended(&room.deploy_briefly("crashing").await).await;
    let failure = failed.status.failure.unwrap();
    assert_eq!(
        failure.message,
        "it was not ready within 1 s: container main ended 6 times, last: exit code 3"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_is_known_by_the_name_that_its_only_workload_has_for_it() {
    let room = Room::open().await;
    room.succeeded(&room.deploy("notes:1", &[("box", 1)], &[]).await)
        .await;
    let made = room.thing("box").await.unwrap();
    for name in ["box", "notes.box", "thing.default#notes.box"] {
        let caller = kernel::Caller::local_admin();
        let found = room.delivery.resource(&caller, "dev", name).await;
        assert_eq!(found.unwrap().meta.name, made.meta.name, "{name}");
    }
    let resources = json!({ "box": { "type": "thing", "class": "huge", "params": { "size": 1 } } });
    let resources = resources.as_object().unwrap().clone();
    let deployed = room.deploy_to("dev", "notes:1", resources, &[]).await;
    let warnings = deployed.unwrap().spec.plan.warnings.join("\n");
    for told in [
        "notes.resources.box.class: no definition of `thing` names the class `huge`",
        "thing.huge#notes.box is new and EMPTY: the data of thing.default#notes.box",
    ] {
        assert!(warnings.contains(told), "{warnings}");
    }
    let caller = kernel::Caller::local_admin();
    let both = room
        .delivery
        .resource(&caller, "dev", "box")
        .await
        .unwrap_err();
    let remedy = both.remedy.unwrap();
    assert!(remedy.contains("thing.huge#notes.box"), "{remedy}");
    assert!(remedy.contains("thing.default#notes.box"), "{remedy}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replacement_of_data_is_held_until_it_is_accepted_by_name() {
    let room = Room::open().await;
    room.succeeded(&room.deploy("notes:1", &[("box", 1)], &[]).await)
        .await;
    let made = room.thing("box").await.unwrap();

    let held = room
        .succeeded(&room.deploy("notes:2", &[("box", 2)], &[]).await)
        .await;
    assert_eq!(held.spec.plan.held, [made.meta.name.as_str()]);
    let thing = room.thing("box").await.unwrap();
    assert_eq!(thing.spec.params["size"], 1);
    assert_eq!(
        (room.shelf.sizes(), room.shelf.removed()),
        (vec![json!(1)], vec![])
    );

    let misspelt = [format!("{}x", made.meta.name)];
    let refused = room.try_deploy("notes:3", &[("box", 2)], &misspelt).await;
    let problems = refused.unwrap_err().problems;
    assert_eq!(problems[0].rule, "deployment/accept");
    let remedy = problems[0].remedy.as_deref().unwrap();
    assert!(remedy.contains(&made.meta.name), "{remedy}");

    let accepted = [made.meta.name.clone()];
    let replaced = room
        .succeeded(&room.deploy("notes:3", &[("box", 2)], &accepted).await)
        .await;
    assert!(replaced.spec.plan.held.is_empty());
    let thing = room.thing("box").await.unwrap();
    assert_eq!(
        (thing.meta.uid, thing.status.replacements),
        (made.meta.uid, 1)
    );
    assert_eq!(
        (room.shelf.sizes(), room.shelf.removed()),
        (vec![json!(2)], vec![json!(1)])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_that_fails_returns_to_its_last_good_release() {
    let room = Room::open().await;
    let good = room
        .succeeded(&room.deploy("notes:1", &[("box", 1)], &[]).await)
        .await;

    let broken = room
        .deploy("broken", &[("box", 1), ("extra", 5)], &[])
        .await;
    let ended = room.ended(&broken).await;
    assert_eq!(
        ended.status.phase,
        DeploymentPhase::RolledBack,
        "{:?}",
        ended.status
    );
    let failure = ended.status.failure.unwrap();
    assert_eq!(failure.returned_to.as_ref(), Some(&good.meta.name));
    assert!(failure.subject.contains("notes"), "{failure:?}");
    assert!(failure.message.contains("exit code 3"), "{failure:?}");
    assert_eq!(failure.log, ["no such table"]);

    let workload = room.workload().await;
    assert_eq!(
        (workload.spec.deployment, workload.spec.release),
        (good.meta.name, 1)
    );
    testkit::eventually("the failed release goes", LONG, || async {
        (room.stage.runs() == ["notes@1"]).then_some(())
    })
    .await;
    assert_eq!(room.stage.removed(), [2], "the good one served all along");
    // What only the failed one wanted holds data: it stays, and nobody uses it.
    let extra = room.thing("extra").await.unwrap();
    assert!(extra.status.used_by.is_empty() && !extra.is_deleting());
    assert!(room.shelf.removed().is_empty());

    let refused = room.delete_thing(&extra, false).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict, "{refused}");
    assert!(refused.remedy.unwrap().contains("--with-data"));
    room.delete_thing(&extra, true).await.unwrap();
    testkit::eventually("it goes with its data", LONG, || async {
        (room.shelf.removed() == [json!(5)]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_overtaken_before_it_serves_ends_at_once() {
    let room = Room::open().await;
    room.succeeded(&room.deploy("notes:1", &[], &[]).await)
        .await;
    for release in 2..=4 {
        room.deploy("slow", &[], &[]).await;
        testkit::eventually("it is started", LONG, || async {
            let newest = format!("notes@{release}");
            (room.stage.runs().last() == Some(&newest)).then_some(())
        })
        .await;
    }
    testkit::eventually(
        "only what serves and what is to serve runs",
        LONG,
        || async { (room.stage.runs() == ["notes@1", "notes@4"]).then_some(()) },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_documents_than_are_written_as_one_are_refused() {
    let room = Room::open().await;
    let documents = vec![json!({}); 1001];
    let refused = room.apply(documents).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::TooLarge, "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn things_that_need_nothing_of_each_other_are_made_at_once() {
    let room = Room::open().await;
    room.shelf.wants_at_once(2);
    let deployment = room.deploy("notes:1", &[("box", 1), ("bag", 2)], &[]).await;
    room.succeeded(&deployment).await;
    assert_eq!(room.shelf.sizes().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_credentials_begin_no_release_of_what_is_being_removed() {
    let room = Room::open().await;
    let deployment = room.deploy("notes:1", &[("box", 1)], &[]).await;
    room.succeeded(&deployment).await;
    *room.stage.holds_on.lock().unwrap() = true;
    room.delete_workload().await;
    let thing = room.thing("box").await.unwrap();
    room.rotate(&thing).await;
    let workload = room.workload().await;
    assert!(workload.is_deleting());
    assert_eq!(workload.spec.highest_release, 1);
    assert_eq!(room.thing("box").await.unwrap().spec.rotation, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_further_release_begins_without_what_was_said_of_the_former() {
    let room = Room::open().await;
    room.deploy("slow", &[], &[]).await;
    let mut workload = testkit::eventually("it says what it waits for", LONG, || async {
        let workload = room.workload().await;
        (!workload.status.message.is_empty()).then_some(workload)
    })
    .await;
    begin_release(&mut workload);
    assert_eq!(workload.status.message, "");
}
