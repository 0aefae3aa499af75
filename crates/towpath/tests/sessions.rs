//! Logins that are looked at and ended by command: a whole platform, and a person on two machines.

#![allow(clippy::unwrap_used, reason = "a test fails by a panic")]

mod browser;
mod person;
mod site;

use person::Person;
use serde_json::Value;
use site::Site;

#[tokio::test]
async fn logins_are_listed_and_ended_from_elsewhere() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    person::ada_of_payments(&site).await;
    let (laptop, desk) = (Person::new(), Person::new());
    for one in [&laptop, &desk] {
        assert_eq!(one.login(&site.server(), "ada", &[]).await.code, 0);
    }
    let list = laptop.run(&["session", "list", "-o", "json"]).await;
    let list: Value = serde_json::from_str(&list.out).unwrap();
    assert_eq!(list["items"].as_array().unwrap().len(), 2, "{list}");
    let newest = list["items"][1]["id"].as_str().unwrap();
    let ended = laptop.run(&["session", "end", newest]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(desk.run(&["whoami"]).await.code, 5);
    assert_eq!(laptop.run(&["whoami"]).await.code, 0);
    assert_eq!(laptop.run(&["session", "end"]).await.code, 2);

    let ended = site
        .cli(&["session", "end", "--subject", "local:ada"])
        .await;
    assert!(ended.out.contains("one login of local:ada"), "{ended:?}");
    assert_eq!(laptop.run(&["whoami"]).await.code, 5);
    let none = site.cli(&["session", "list"]).await;
    assert!(none.out.contains("Nobody is logged in."), "{none:?}");
}
