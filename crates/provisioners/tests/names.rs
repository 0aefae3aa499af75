//! Host names, routes, service ports and environment values.

mod support;

use std::net::{IpAddr, Ipv4Addr};

use delivery::provisioner::{Presence, Provisioner, Request};
use serde_json::json;
use support::{object, output, request};
use towpath_provisioners::{Dns, Domains, EnvironmentValues, Route, ServicePort, ServicePortState};

fn domains() -> Domains {
    Domains::new("localhost").allot("pay.example.com", "payments")
}

fn dns(host: Option<&str>) -> Request {
    request(
        "dns",
        "notes.dns",
        host.map_or(json!(null), |host| json!({ "host": host })),
    )
}

#[tokio::test]
async fn a_host_is_below_the_environments_domain_unless_asked_otherwise() {
    let made = Dns::new(domains()).provision(&dns(None)).await.unwrap();
    assert_eq!(output(&made, "host"), "notes.dev.localhost");

    let mut shared = dns(None);
    shared.workload = None;
    shared.id = "Shared_Front".into();
    let made = Dns::new(domains()).provision(&shared).await.unwrap();
    assert_eq!(output(&made, "host"), "shared-front.dev.localhost");
}

#[tokio::test]
async fn a_team_may_claim_what_is_its_own_and_nothing_else() {
    let dns_of = Dns::new(domains());
    for (asked, claimed) in [
        ("shop.dev.localhost", "shop.dev.localhost"),
        ("A.B.Dev.Localhost", "a.b.dev.localhost"),
        ("pay.example.com", "pay.example.com"),
        ("www.pay.example.com", "www.pay.example.com"),
    ] {
        let made = dns_of.provision(&dns(Some(asked))).await.unwrap();
        assert_eq!(output(&made, "host"), claimed);
    }
    for refused in [
        "dev.localhost",
        "shop.prod.localhost",
        "shop.notdev.localhost",
        "example.com",
        "xpay.example.com",
        "pay.example.com.evil.org",
    ] {
        let error = dns_of.provision(&dns(Some(refused))).await.unwrap_err();
        assert!(!error.retry, "{refused}");
        assert!(error.message.contains(refused), "{error}");
        let remedy = error.remedy.unwrap();
        assert!(remedy.contains("dev.localhost") && remedy.contains("pay.example.com"));
    }
    let mut stranger = dns(Some("pay.example.com"));
    stranger.team = "marketing".into();
    assert!(dns_of.provision(&stranger).await.is_err());
}

#[test]
fn what_is_no_host_name_is_refused_before_anything_is_made() {
    let dns = Dns::new(domains());
    let long = format!("{}.dev.localhost", "a".repeat(64));
    for host in [
        "", "a..b", "-a.dev", "a_b.dev", "a b", "é.dev", "1.2.3.4", &long, "a/b", "a:80",
    ] {
        let problems = dns.check(&object(json!({ "host": host })));
        assert_eq!(problems.len(), 1, "{host:?}");
        assert!(problems[0].remedy.is_some());
    }
    assert!(
        dns.check(&object(json!({ "host": "${resources.x.host}" })))
            .is_empty()
    );
    let typo = dns.check(&object(json!({ "hots": "a.dev.localhost" })));
    assert_eq!(typo[0].remedy.as_deref(), Some("did you mean `host`?"));
}

#[tokio::test]
async fn records_are_written_healed_and_removed_and_others_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hosts");
    std::fs::write(&file, "10.0.0.1 printer\n").unwrap();
    let gateway = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let dns_of = Dns::new(domains()).with_hosts_file(&file, gateway);
    let read = || std::fs::read_to_string(&file).unwrap();

    let mut one = dns(Some("www.pay.example.com"));
    one.state = dns_of.provision(&one).await.unwrap().state;
    assert!(read().contains("192.0.2.7 www.pay.example.com # towpath"));
    assert_eq!(dns_of.presence(&one).await, Presence::Present);
    assert_eq!(
        dns_of.inventory(one.platform).await.unwrap(),
        [dns_of.listed_as(&one).unwrap()]
    );

    // Somebody changes it by hand.
    std::fs::write(&file, read().replace("192.0.2.7", "192.0.2.8")).unwrap();
    assert_eq!(dns_of.presence(&one).await, Presence::Absent);
    dns_of.provision(&one).await.unwrap();
    assert_eq!(read().matches("www.pay.example.com").count(), 1);
    assert_eq!(dns_of.presence(&one).await, Presence::Present);

    // The parameter changes: the old record goes.
    one.params = object(json!({ "host": "pay.example.com" }));
    one.state = dns_of.provision(&one).await.unwrap().state;
    assert!(!read().contains("www."));

    dns_of.remove(&one).await.unwrap();
    assert_eq!(read(), "10.0.0.1 printer\n");
    assert!(dns_of.inventory(one.platform).await.unwrap().is_empty());
    dns_of.remove(&one).await.unwrap();
}

#[tokio::test]
async fn a_route_keeps_its_hosts_record_beside_those_of_names() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hosts");
    let gateway = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let dns_of = Dns::new(domains()).with_hosts_file(&file, gateway);
    let route = Route::new(domains(), "127.0.0.1:80".parse().unwrap()).with_records_of(&dns_of);
    let read = || std::fs::read_to_string(&file).unwrap();
    let name = dns(Some("www.pay.example.com"));
    dns_of.provision(&name).await.unwrap();
    let asked = |host: &str| {
        request(
            "route",
            "notes.route",
            json!({ "host": host, "port": "web" }),
        )
    };
    let mut way = asked("www.pay.example.com");
    way.platform = name.platform;
    way.state = route.provision(&way).await.unwrap().state;
    assert_eq!(read().matches("192.0.2.7 www.pay.example.com ").count(), 2);
    assert_eq!(route.presence(&way).await, Presence::Present);
    // Each knows its own.
    let listed = (
        dns_of.inventory(way.platform).await.unwrap(),
        route.inventory(way.platform).await.unwrap(),
    );
    let own = (
        vec![dns_of.listed_as(&name).unwrap()],
        vec![route.listed_as(&way).unwrap()],
    );
    assert_eq!(listed, own);

    dns_of.remove(&name).await.unwrap();
    assert_eq!(read().matches("192.0.2.7 www.pay.example.com ").count(), 1);
    std::fs::write(&file, "").unwrap();
    assert_eq!(route.presence(&way).await, Presence::Absent);
    route.provision(&way).await.unwrap();
    assert_eq!(route.presence(&way).await, Presence::Present);
    route.remove(&way).await.unwrap();
    assert_eq!(read(), "");

    let below = asked("notes.dev.localhost");
    route.provision(&below).await.unwrap();
    assert_eq!((read().as_str(), route.listed_as(&below)), ("", None));
    let alone = Route::new(domains(), "127.0.0.1:80".parse().unwrap());
    let made = alone.provision(&asked("pay.example.com")).await.unwrap();
    assert!(
        made.summary
            .contains("point pay.example.com at the gateway"),
        "{}",
        made.summary
    );
}

#[tokio::test]
async fn a_name_below_localhost_needs_no_record() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("hosts");
    let dns_of = Dns::new(domains()).with_hosts_file(&file, IpAddr::V4(Ipv4Addr::LOCALHOST));
    let request = dns(None);
    dns_of.provision(&request).await.unwrap();
    assert!(!file.exists());
    assert_eq!(dns_of.listed_as(&request), None);
}

#[tokio::test]
async fn a_route_says_its_url_and_refuses_what_is_no_path() {
    let route = Route::new(domains(), "127.0.0.1:7080".parse().unwrap());
    let asked = json!({ "host": "notes.dev.localhost", "path": "/api", "port": "web" });
    let made = route
        .provision(&request("route", "notes.route", asked))
        .await
        .unwrap();
    assert_eq!(output(&made, "url"), "http://notes.dev.localhost:7080/api");
    assert_eq!(made.state["port"], "web");

    for path in ["api", "/a/../b", "/a b", "/a?x", "/a//b", "/%2e", "/ä"] {
        let asked = json!({ "host": "notes.dev.localhost", "path": path, "port": 80 });
        assert_eq!(route.check(&object(asked.clone())).len(), 1, "{path}");
        assert!(
            route
                .provision(&request("route", "r", asked))
                .await
                .is_err(),
            "{path}"
        );
    }
    let problems = route.check(&object(json!({ "pathh": "/" })));
    let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["params.pathh", "params.host", "params.port"]);
    let asked = json!({ "host": "a b", "path": 3, "port": 80 });
    let problems = route.check(&object(asked));
    let remedies: Vec<_> = problems.iter().filter_map(|p| p.remedy.clone()).collect();
    assert_eq!(
        remedies,
        [
            "give `host` as a host name, such as `shop.dev.localhost`",
            "give `path` as a path, such as `/` or `/api`",
        ]
    );
}

#[tokio::test]
async fn a_service_port_stays_and_is_nobody_elses() {
    let ports = ServicePort::new();
    let asked = json!({ "workload": "backend", "port": 8080 });
    let (mut one, other) = (
        request("service-port", "a.backend", asked.clone()),
        request("service-port", "b.backend", asked),
    );
    let made = ports.provision(&one).await.unwrap();
    // The call was killed before its state was kept.
    assert_eq!(ports.provision(&one).await.unwrap().state, made.state);
    one.state = made.state.clone();
    assert_eq!(ports.provision(&one).await.unwrap().outputs, made.outputs);
    assert_ne!(ports.provision(&other).await.unwrap().state, made.state);

    let state: ServicePortState = serde_json::from_value(made.state.clone()).unwrap();
    assert_eq!(
        (state.workload.as_str(), state.port.as_str()),
        ("backend", "8080")
    );
    assert_eq!(Some(state.listen), made.listens);
    assert_eq!(output(&made, "port"), state.listen.port().to_string());

    // Another process, whose like-minded instance would take the same port.
    let mut unreadable = one.clone();
    unreadable.state = json!({ "listen": "somewhere" });
    let error = ports.provision(&unreadable).await.unwrap_err();
    assert!(
        !error.retry && error.remedy.is_some(),
        "another port: {error}"
    );
    let restarted = ServicePort::new();
    restarted.keep(one.uid, &state);
    let mut rival = one.clone();
    rival.uid = uuid::Uuid::from_u128(one.uid.as_u128() + 10_000);
    rival.state = json!(null);
    assert_ne!(
        restarted.provision(&rival).await.unwrap().listens,
        made.listens
    );
}

#[tokio::test]
async fn environment_values_are_its_own_and_the_definitions() {
    let values = EnvironmentValues::new(domains());
    let made = values
        .provision(&request(
            "environment",
            "notes.env",
            json!({ "LOG_LEVEL": "debug" }),
        ))
        .await
        .unwrap();
    for (name, value) in [
        ("name", "dev"),
        ("role", "dev"),
        ("team", "payments"),
        ("domain", "dev.localhost"),
        ("LOG_LEVEL", "debug"),
    ] {
        assert_eq!(output(&made, name), value);
    }
    let problems = values.check(&object(json!({ "team": "other", "list": [1], "ok": 1 })));
    let rules: Vec<_> = problems.iter().map(|p| p.rule.as_str()).collect();
    assert_eq!(rules, ["params/reserved", "params/value"]);
}
