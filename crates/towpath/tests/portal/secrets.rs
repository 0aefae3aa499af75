//! A team's secrets by forms: values go in, and come out to who asks for them by name.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{furnished, submit};

const SET: &str = "/portal/teams/payments/secrets/set";
const SHOW: &str = "/portal/teams/payments/secrets/show?name=stripe%2Fkey";

#[tokio::test]
async fn a_member_keeps_secrets() {
    let world = furnished(&[]).await;
    let ada = world.visit("ada").await;
    // A name that cannot be: what was typed stays, the value apart.
    let form = world.open(&ada, SET).await;
    let description = "for <script>alert(1)</script>";
    let wrong = [
        ("expected", "0"),
        ("name", "Stripe Key"),
        ("description", description),
        ("how", "given"),
        ("value", "canary-zero"),
    ];
    let refused = submit(&ada, &form, SET, &wrong).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    assert!(
        refused
            .body
            .contains("<code>Stripe Key</code> is not a secret"),
        "{}",
        refused.body
    );
    assert!(
        refused.body.contains("value=\"Stripe Key\""),
        "{}",
        refused.body
    );
    assert!(!refused.body.contains("canary"), "{}", refused.body);
    let nothing = [
        ("expected", "0"),
        ("name", "stripe/key"),
        ("how", "given"),
        ("value", ""),
    ];
    let refused = submit(&ada, &form, SET, &nothing).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.body.contains("id=\"value-error\""),
        "{}",
        refused.body
    );

    let good = [
        ("expected", "0"),
        ("name", "stripe/key"),
        ("description", description),
        ("how", "given"),
        ("value", "canary one\r\n<b>two</b>"),
    ];
    let kept = submit(&ada, &form, SET, &good).await;
    assert_eq!(kept.status, 200, "{}", kept.body);
    assert_eq!(kept.url.path(), "/portal/teams/payments/secrets/show");
    assert!(
        kept.body.contains("towpath://payments/stripe/key"),
        "{}",
        kept.body
    );
    let list = world.open(&ada, "/portal/teams/payments/secrets").await;
    for page in [&kept, &list] {
        assert!(
            page.body
                .contains("for &lt;script&gt;alert(1)&lt;/script&gt;"),
            "{}",
            page.body
        );
        assert!(
            !page.body.contains("canary") && !page.body.contains("<script"),
            "{}",
            page.body
        );
    }
    assert!(list.body.contains("just now"), "{}", list.body);

    // Another who had the form of a new one open overwrites nothing.
    let late = submit(&ada, &form, SET, &good).await;
    assert_eq!(late.status, 412, "{}", late.body);
    assert!(late.body.contains("id=\"name-error\""), "{}", late.body);

    let update = world.open(&ada, &format!("{SET}?name=stripe%2Fkey")).await;
    assert!(update.body.contains("makes version 2"), "{}", update.body);
    let next = [
        ("expected", "1"),
        ("name", "stripe/key"),
        ("description", ""),
        ("how", "given"),
        ("value", "canary three"),
    ];
    let updated = submit(&ada, &update, SET, &next).await;
    assert_eq!(updated.status, 200, "{}", updated.body);
    assert!(world.events("secret.revealed").await.is_empty());

    // A value is shown to who asks for it by a form, and by nothing else.
    let reveal = "/portal/teams/payments/secrets/reveal";
    let by_link = ada
        .go(&world.at(&format!("{reveal}?name=stripe%2Fkey")))
        .await;
    assert!(matches!(by_link.status, 404 | 405), "{by_link:?}");
    let shown = submit(&ada, &updated, reveal, &[("name", "stripe/key")]).await;
    assert_eq!(shown.status, 200, "{}", shown.body);
    assert!(
        shown.body.contains("<pre>canary three</pre>"),
        "{}",
        shown.body
    );
    assert_eq!(shown.headers["cache-control"], "no-store");
    let first = [("name", "stripe/key"), ("version", "1")];
    let shown = submit(&ada, &updated, reveal, &first).await;
    assert!(
        shown
            .body
            .contains("<pre>canary one\n&lt;b&gt;two&lt;/b&gt;</pre>"),
        "{}",
        shown.body
    );
    let told = world.told("secret.revealed").await;
    let expected = (
        "local:ada".to_owned(),
        "TeamSecret/payments/stripe/key".to_owned(),
    );
    assert_eq!(told, [expected.clone(), expected]);

    let delete = "/portal/teams/payments/secrets/delete";
    let confirm = world
        .open(&ada, &format!("{delete}?name=stripe%2Fkey"))
        .await;
    assert!(
        confirm.body.contains("Delete stripe/key?"),
        "{}",
        confirm.body
    );
    world.open(&ada, SHOW).await;
    let deleted = submit(&ada, &confirm, delete, &[("name", "stripe/key")]).await;
    assert_eq!(
        deleted.url.path(),
        "/portal/teams/payments/secrets",
        "{}",
        deleted.body
    );
    assert_eq!(ada.go(&world.at(SHOW)).await.status, 404);
    let log = std::fs::read_to_string(world.site.data.join("test.log")).unwrap();
    assert!(!log.contains("canary"), "in the log");
}

#[tokio::test]
async fn what_the_platform_draws_is_rotated() {
    let world = furnished(&[]).await;
    let ada = world.visit("ada").await;
    let form = world.open(&ada, SET).await;
    for name in ["app", "app/one"] {
        let drawn = [
            ("expected", "0"),
            ("name", name),
            ("how", "draw"),
            ("value", "ignored"),
        ];
        assert_eq!(submit(&ada, &form, SET, &drawn).await.status, 200);
    }
    let value = async || {
        let path = "/v1/teams/payments/secrets/app/value".to_owned();
        let answer = world.get(&path).await;
        answer["value"].as_str().unwrap().to_owned()
    };
    let before = value().await;
    assert_eq!(before.len(), 43, "not what was typed");
    let rotate = "/portal/teams/payments/secrets/rotate";
    let confirm = world.open(&ada, &format!("{rotate}?name=app")).await;
    assert!(
        confirm.body.contains("<code>app/one</code>"),
        "what goes with it: {}",
        confirm.body
    );
    let rotated = submit(&ada, &confirm, rotate, &[("name", "app")]).await;
    assert!(
        rotated.body.contains("A new value was drawn"),
        "{}",
        rotated.body
    );
    assert_ne!(value().await, before);

    // The platform's own are shown, and neither written nor deleted here.
    world.ready("payments").await;
    let managed = testkit::eventually("a key is kept", crate::site::world::LONG, || async {
        let all = world
            .get("/v1/teams/payments/secrets?path=deploy-credentials")
            .await;
        Some(all["items"][0]["name"].as_str()?.to_owned())
    })
    .await;
    let query = format!("?name={}", managed.replace('/', "%2F"));
    let page = world
        .open(&ada, &format!("/portal/teams/payments/secrets/show{query}"))
        .await;
    assert!(
        page.body.contains("The platform itself writes it"),
        "{}",
        page.body
    );
    assert!(
        !page.body.contains("secrets/delete") && !page.body.contains(SET),
        "{}",
        page.body
    );
    let csrf = page.field("csrf");
    let delete = [("csrf", csrf.as_str()), ("name", &managed)];
    let refused = ada
        .send(&page, "/portal/teams/payments/secrets/delete", &delete)
        .await;
    assert_eq!(refused.status, 409, "{}", refused.body);
}

#[tokio::test]
async fn another_team_has_nothing_of_it() {
    let world = furnished(&[]).await;
    let put = json!({ "value": { "value": "canary" } });
    let path = "/v1/teams/payments/secrets/stripe%2Fkey";
    assert_eq!(world.ask(Method::PUT, path, put).await.0, 200);
    let eve = world.visit("eve").await;
    let empty = world.open(&eve, "/portal/teams/shop/secrets").await;
    assert!(empty.body.contains("no secrets yet"), "{}", empty.body);
    let own = world.open(&eve, "/portal/teams/shop/secrets/set").await;
    let csrf = own.field("csrf");
    let there = eve.go(&world.at("/portal/teams/payments")).await;
    let nowhere = eve.go(&world.at("/portal/teams/no-such")).await;
    assert_eq!((there.status, nowhere.status), (404, 404));
    for path in [
        "",
        "/show?name=stripe%2Fkey",
        "/set?name=stripe%2Fkey",
        "/delete?name=stripe%2Fkey",
    ] {
        let page = eve
            .go(&world.at(&format!("/portal/teams/payments/secrets{path}")))
            .await;
        assert!(matches!(page.status, 403 | 404), "{path}: {}", page.status);
        assert!(!page.body.contains("towpath://"), "{path}: {}", page.body);
    }
    for (path, fields) in [
        (
            "set",
            &[
                ("name", "stripe/key"),
                ("expected", "1"),
                ("how", "given"),
                ("value", "evil"),
            ][..],
        ),
        ("reveal", &[("name", "stripe/key")]),
        ("rotate", &[("name", "stripe/key")]),
        ("delete", &[("name", "stripe/key")]),
    ] {
        let fields = [&[("csrf", csrf.as_str())], fields].concat();
        let path = format!("/portal/teams/payments/secrets/{path}");
        let refused = eve.send(&own, &path, &fields).await;
        assert!(
            matches!(refused.status, 403 | 404),
            "{path}: {}",
            refused.status
        );
        assert!(!refused.body.contains("canary"), "{path}: {}", refused.body);
    }
    let value = world.get(&format!("{path}/value")).await;
    assert_eq!(value["value"], "canary");
    assert_eq!(
        world.ask(Method::GET, path, Value::Null).await.1["version"],
        1
    );
}
