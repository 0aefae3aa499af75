//! What the tables are made of, and how they follow.

#![allow(
    clippy::print_stdout,
    reason = "what was measured is part of the result"
)]

use std::{net::SocketAddr, time::Instant};

use delivery::{
    model::{InstancePhase, RouteSpec, Workload},
    provisioner::{Provisioner as _, Request},
};
use kernel::{Change, Resource, Sealer, Secret};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

use super::*;

async fn store(directory: &tempfile::TempDir) -> Store {
    let url = format!("sqlite://{}/towpath.db", directory.path().display());
    Store::open(&url, Sealer::generate().expect("a key"))
        .await
        .expect("a store")
}

/// An instance whose last try failed: nothing listens on its port.
fn instance() -> Resource<ResourceInstance> {
    let spec = json!({
        "node": "service-port.default#front.backend",
        "definition": { "name": "service-port-default", "revision": 1 },
        "provisioner": "service-port",
        "params": { "workload": "backend", "port": 80 },
        "rotation": 1,
        "correlation": Uuid::now_v7(),
        "team": "default",
        "role": "dev",
    });
    let spec = serde_json::from_value(spec).expect("a spec");
    let mut instance = Resource::<ResourceInstance>::new("dev", "backend", spec);
    instance.status.phase = InstancePhase::Failed;
    instance
}

fn request(instance: &Resource<ResourceInstance>, uid: Uuid) -> Request {
    Request {
        platform: Uuid::nil(),
        uid,
        environment: "dev".into(),
        role: "dev".into(),
        team: "default".into(),
        workload: Some("front".into()),
        resource_type: "service-port".into(),
        class: "default".into(),
        id: "front.backend".into(),
        params: instance.spec.params.clone(),
        seed: Secret::from("seed"),
        rotation: 1,
        state: Value::Null,
        machine_host: "127.0.0.1".into(),
    }
}

#[tokio::test]
async fn the_port_of_a_service_that_is_not_served_is_given_to_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let mut instance = instance();
    let uid = instance.meta.uid;
    // A like-minded instance begins its search at the same port.
    let rival = request(&instance, Uuid::from_u128(uid.as_u128() + 10_000));
    let made = ServicePort::new().provision(&request(&instance, uid)).await;
    instance.status.state = made.expect("a port").state;
    let listen = instance.status.state["listen"].clone();
    let mut change = Change::new();
    change.create(&instance).expect("it can be written");
    store.commit(change).await.expect("it is written");

    let ports = Arc::new(ServicePort::new());
    let (mut routing, _table) = Routing::new(store.clone(), ports.clone(), None, Slots::default());
    routing.refresh().await.expect("it can be read");
    let other = ports.provision(&rival).await.expect("another port");
    assert_ne!(other.state["listen"], listen);

    // Gone, it is free again.
    ports.remove(&rival).await.expect("it is let go");
    let instance = store.expect::<ResourceInstance>("dev", "backend").await;
    let mut change = Change::new();
    change
        .remove(&instance.expect("it is there"))
        .expect("it can be removed");
    store.commit(change).await.expect("it is removed");
    routing.refresh().await.expect("it can be read");
    let other = ports.provision(&rival).await.expect("that port");
    assert_eq!(other.state["listen"], listen);
}

/// Says `x` to each that connects, until they hang up.
async fn talkative() -> SocketAddr {
    let server = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = server.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut client, _)) = server.accept().await {
            tokio::spawn(async move {
                client.write_all(b"x").await.expect("it is read");
                let _ = client.read_u8().await;
            });
        }
    });
    address
}

#[tokio::test]
async fn the_service_ports_of_one_team_leave_the_others_theirs() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let mut backend = workload("backend");
    backend.status.endpoints = [("www".into(), talkative().await)].into();
    written(&store, |change| change.create(&backend)).await;
    let ports = Arc::new(ServicePort::new());
    let mut addresses = Vec::new();
    for (name, team) in [("a", "ours"), ("b", "ours"), ("c", "theirs")] {
        let mut instance = instance();
        instance.meta.name = name.into();
        instance.spec.team = team.into();
        instance.status.phase = InstancePhase::Ready;
        let made = ports
            .provision(&request(&instance, instance.meta.uid))
            .await;
        instance.status.state = made.expect("a port").state;
        let listen = instance.status.state["listen"].clone();
        addresses.push(serde_json::from_value::<SocketAddr>(listen).expect("an address"));
        written(&store, |change| change.create(&instance)).await;
    }
    let (mut routing, _table) = Routing::new(store, ports, None, Slots::sized(9, 1, 1));
    routing.refresh().await.expect("it can be read");

    let connect = async |port: usize| {
        let connected = TcpStream::connect(addresses[port]).await;
        connected.expect("it is served")
    };
    let hears = async |client: &mut TcpStream| {
        let heard = tokio::time::timeout(testkit::PATIENCE, client.read_u8()).await;
        assert_eq!(heard.expect("in time").expect("it is let in"), b'x');
    };
    let mut kept = connect(0).await;
    hears(&mut kept).await;
    let mut waits = connect(1).await;
    hears(&mut connect(2).await).await;
    let early = waits.try_read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock));
    drop(kept);
    hears(&mut waits).await;
}

fn workload(name: &str) -> Resource<Workload> {
    let spec = json!({
        "deployment": "d-1",
        "release": 1,
        "highestRelease": 1,
        "correlation": Uuid::now_v7(),
        "score": {
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": name },
            "containers": { "main": { "image": "." } },
            "service": { "ports": { "www": { "port": 80 } } },
        },
    });
    let spec = serde_json::from_value(spec).expect("a spec");
    let mut workload = Resource::<Workload>::new("dev", name, spec);
    workload.status.endpoints = [("www".into(), address(1))].into();
    workload
}

fn route(name: &str) -> Resource<Route> {
    let spec = RouteSpec {
        host: format!("{name}.dev.localhost"),
        path: "/".into(),
        environment: "dev".into(),
        workload: name.into(),
        port: "www".into(),
        instance: None,
    };
    Resource::new("", format!("route-{name}"), spec)
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn leads(table: &watch::Receiver<Arc<RoutingTable>>, name: &str) -> Option<Vec<SocketAddr>> {
    let table = table.borrow();
    let target = table.find(&format!("{name}.dev.localhost"), "/")?;
    Some(target.backends.clone())
}

/// Writes what `fill` puts into a change.
async fn written(store: &Store, fill: impl FnOnce(&mut Change) -> Result<()>) {
    let mut change = Change::new();
    fill(&mut change).expect("it can be written");
    store.commit(change).await.expect("it is written");
}

/// Of a thousand routes one leads elsewhere: what that costs is measured beside making all anew.
#[tokio::test]
async fn a_change_costs_what_it_concerns() {
    const ROUTES: usize = 1000;
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    for hundred in 0..ROUTES / 100 {
        written(&store, |change| {
            for n in hundred * 100..(hundred + 1) * 100 {
                change.create(&workload(&format!("w{n}")))?;
                change.create(&route(&format!("w{n}")))?;
            }
            Ok(())
        })
        .await;
    }
    let (mut routing, table) = Routing::new(
        store.clone(),
        Arc::new(ServicePort::new()),
        None,
        Slots::default(),
    );
    let begun = Instant::now();
    routing.refresh().await.expect("it can be read");
    let whole = begun.elapsed();
    assert_eq!(table.borrow().host_count(), ROUTES);

    let mut changes = Vec::new();
    for n in 0..20u16 {
        let mut one = store.expect::<Workload>("dev", "w500").await.expect("one");
        one.status.endpoints = [("www".into(), address(2000 + n))].into();
        written(&store, |change| change.status(&one)).await;
        let begun = Instant::now();
        routing.catch_up().await.expect("it can be read");
        changes.push(begun.elapsed());
        assert_eq!(leads(&table, "w500"), Some(vec![address(2000 + n)]));
    }
    changes.sort_unstable();
    let median = changes[changes.len() / 2];
    println!("{ROUTES} routes: {whole:?} from scratch, {median:?} for a change of one");
    assert!(median * 5 < whole, "{median:?} against {whole:?}");

    // What leads nowhere else is no new table.
    let mut table = table;
    table.borrow_and_update();
    let mut one = store.expect::<Workload>("dev", "w500").await.expect("one");
    one.status.message = "so what".into();
    written(&store, |change| change.status(&one)).await;
    routing.catch_up().await.expect("it can be read");
    assert!(!table.has_changed().expect("it is followed"));

    // More than one reading of the log holds, removals too.
    let all = store
        .list_all::<Route>(&Query::default())
        .await
        .expect("all");
    written(&store, |change| {
        all.iter().try_for_each(|route| change.remove(route))
    })
    .await;
    written(&store, |change| change.create(&route("w7"))).await;
    routing.catch_up().await.expect("it can be read");
    assert_eq!(table.borrow().host_count(), 1);
    assert_eq!(leads(&table, "w7"), Some(vec![address(1)]));
    assert_eq!(leads(&table, "w500"), None);
}

/// The store may go away between two readings of the log.
#[tokio::test]
async fn what_was_read_before_the_store_went_away_is_served_once_it_is_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let (mut routing, table) = Routing::new(
        store.clone(),
        Arc::new(ServicePort::new()),
        None,
        Slots::default(),
    );
    routing.refresh().await.expect("it can be read");
    written(&store, |change| {
        change.create(&workload("a"))?;
        change.create(&route("a"))
    })
    .await;
    assert!(routing.read_on().await.expect("it can be read"));
    // Here the store does not answer; the next try finds no news.
    routing.catch_up().await.expect("it can be read");
    assert_eq!(leads(&table, "a"), Some(vec![address(1)]));
}

/// A route as another version of the platform may have written it.
#[derive(Debug)]
struct StrangeRoute;

impl Kind for StrangeRoute {
    const KIND: &'static str = Route::KIND;
    type Spec = Value;
    type Status = Value;
}

#[tokio::test]
async fn a_document_that_cannot_be_read_keeps_no_other_from_being_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let (mut routing, table) = Routing::new(
        store.clone(),
        Arc::new(ServicePort::new()),
        None,
        Slots::default(),
    );
    let strange = |name: &str| {
        Resource::<StrangeRoute>::new("", format!("route-{name}"), json!({ "host": 7 }))
    };
    written(&store, |change| {
        change.create(&workload("a"))?;
        change.create(&workload("b"))?;
        change.create(&strange("before"))?;
        change.create(&route("a"))
    })
    .await;
    routing.refresh().await.expect("the others can be read");
    assert_eq!(leads(&table, "a"), Some(vec![address(1)]));
    written(&store, |change| {
        change.create(&strange("after"))?;
        change.create(&route("b"))
    })
    .await;
    routing.catch_up().await.expect("the others can be read");
    assert_eq!(leads(&table, "b"), Some(vec![address(1)]));
}

/// What the log leads to is what reading everything gives.
#[tokio::test]
async fn what_follows_is_what_would_be_made_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let (mut routing, followed) = Routing::new(
        store.clone(),
        Arc::new(ServicePort::new()),
        None,
        Slots::default(),
    );
    routing.refresh().await.expect("it can be read");
    written(&store, |change| {
        change.create(&workload("a"))?;
        change.create(&workload("b"))?;
        change.create(&route("a"))?;
        change.create(&route("b"))
    })
    .await;
    routing.catch_up().await.expect("it can be read");
    assert_eq!(leads(&followed, "a"), Some(vec![address(1)]));
    let a = store.expect::<Workload>("dev", "a").await.expect("a");
    let b = store.expect::<Workload>("dev", "b").await.expect("b");
    written(&store, |change| {
        change.remove(&a)?;
        change.delete(&b)
    })
    .await;
    routing.catch_up().await.expect("it can be read");
    let (mut anew, made) = Routing::new(
        store.clone(),
        Arc::new(ServicePort::new()),
        None,
        Slots::default(),
    );
    anew.refresh().await.expect("it can be read");
    for name in ["a", "b", "c"] {
        assert_eq!(leads(&followed, name), leads(&made, name), "{name}");
    }
    assert_eq!(leads(&followed, "a"), Some(vec![]), "it is not there");
}

fn environment(name: &str, team: &str) -> Resource<delivery::model::Environment> {
    let spec = json!({
        "role": "dev", "team": team, "engine": "process", "createdBy": "somebody",
        "clonedFrom": null, "pinnedDefinitions": {},
    });
    let spec = serde_json::from_value(spec).expect("a spec");
    Resource::new("", name, spec)
}

fn namespace(name: &str, team: &str, policies: &Value) -> Resource<teams::model::Namespace> {
    let spec = json!({ "role": "dev", "networkPolicies": policies });
    let spec = serde_json::from_value(spec).expect("a spec");
    Resource::new(team, name, spec)
}

/// Whom the table lets in at the host of `a`.
fn lets_in(table: &watch::Receiver<Arc<RoutingTable>>) -> Option<Vec<String>> {
    let table = table.borrow();
    let target = table.find("a.dev.localhost", "/").expect("it leads there");
    let admission = target.admission.as_ref()?;
    assert_eq!((&*admission.namespace, &*admission.team), ("dev", "ours"));
    Some(admission.from.iter().cloned().collect())
}

#[tokio::test]
async fn a_namespace_says_whom_its_environment_lets_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = store(&directory).await;
    let (mut routing, table) = Routing::new(
        store.clone(),
        Arc::new(ServicePort::new()),
        None,
        Slots::default(),
    );
    let names = ["theirs", "taken", "gone"].map(|name| json!({ "fromNamespace": name }));
    let policies = json!({ "defaultDeny": true, "allowIngress": names });
    written(&store, |change| {
        change.create(&workload("a"))?;
        change.create(&route("a"))?;
        change.create(&environment("theirs", "them"))?;
        change.create(&namespace("theirs", "them", &json!({})))?;
        // The namespace of this name waits: its name is taken by somebody else's environment.
        change.create(&environment("taken", "others"))?;
        change.create(&namespace("taken", "them", &json!({})))?;
        change.create(&namespace("dev", "ours", &policies))
    })
    .await;
    routing.refresh().await.expect("it can be read");
    assert_eq!(lets_in(&table), None, "no environment backs it");
    written(&store, |change| change.create(&environment("dev", "ours"))).await;
    routing.catch_up().await.expect("it can be read");
    let both = Some(vec!["dev".to_owned(), "theirs".to_owned()]);
    assert_eq!(lets_in(&table), both);
    let found = store
        .expect::<teams::model::Namespace>("them", "theirs")
        .await;
    written(&store, |change| change.remove(&found.expect("it is there"))).await;
    routing.catch_up().await.expect("it can be read");
    assert_eq!(lets_in(&table), Some(vec!["dev".to_owned()]));
    let found = store.expect::<teams::model::Namespace>("ours", "dev").await;
    let mut open = found.expect("it is there");
    open.spec.network_policies.default_deny = false;
    written(&store, |change| change.spec(&open)).await;
    routing.catch_up().await.expect("it can be read");
    assert_eq!(lets_in(&table), None, "it lets everybody in again");
}
