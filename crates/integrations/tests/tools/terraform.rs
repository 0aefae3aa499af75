//! Terraform Cloud, by the description among the examples: where single sign-on says who somebody is, and
//! nothing of the teams that they are in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use kernel::{ErrorKind, Result, Secret};
use serde_json::{Value, json};
use teams::{
    model::{Step, Team},
    reconcile::integrations_left,
    tool::{Call, Place, Presence, Tool, Wanted},
};
use testkit::eventually;

use crate::{
    cloud::{Cloud, cloud},
    reconcile::{SOON, World, driven, offboard},
    support::{CREDENTIAL, heal, look, seen, team, tool},
};

pub(crate) const TEAM: &str = "towpath-payments";

/// The example, for a server of the tests.
pub(crate) fn example(url: &str) -> Value {
    let file = "../../examples/integrations/terraform-cloud.json";
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let mut example: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    example["config"]["url"] = json!(url);
    example["credential"] = json!(CREDENTIAL);
    example
}

pub(crate) fn config(url: &str) -> Value {
    example(url)["config"].take()
}

/// The same team, with addresses.
pub(crate) fn reached(mut wanted: Wanted) -> Wanted {
    for member in wanted.members.iter_mut().chain(&mut wanted.left) {
        member.email = Some(format!("{}@acme.example", member.name));
    }
    wanted
}

async fn send(tool: &dyn Tool, config: &Value, call: &Call) -> Result<()> {
    let credential = Secret::from(CREDENTIAL);
    let place = Place {
        config,
        credential: Some(&credential),
        ours: true,
        accounts: &BTreeMap::new(),
    };
    tool.mend(place, call).await
}

/// What `TEAM` may do in its workspace.
fn level(cloud: &Mutex<Cloud>) -> Option<String> {
    let cloud = cloud.lock().unwrap();
    let (team, workspace) = (cloud.named(TEAM), &cloud.workspaces[TEAM]);
    let mut all = cloud.access.values();
    let own = all.find(|one| one.0 == team && one.1 == *workspace)?;
    Some(own.2.clone())
}

/// Others have access to the workspace already: of `TEAM` the second page tells.
fn crowded(cloud: &Mutex<Cloud>) {
    let mut cloud = cloud.lock().unwrap();
    cloud.workspaces.insert(TEAM.into(), "ws-9".into());
    for other in ["a", "b", "c"] {
        let access = (format!("team-{other}"), "ws-9".into(), "read".into());
        cloud.access.insert(format!("tws-{other}"), access);
    }
    // Behind those of the others, by id.
    let own = cloud.team(TEAM);
    let access = (own, "ws-9".into(), "read".into());
    cloud.access.insert("tws-z".into(), access);
}

pub(crate) async fn people_are(cloud: &Arc<Mutex<Cloud>>, names: &[&str]) {
    let expected = names.iter().map(|name| format!("{name}@acme.example"));
    let expected: BTreeSet<String> = expected.collect();
    eventually("the team is as it should be", SOON, async || {
        (cloud.lock().unwrap().people(TEAM) == expected).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_team_is_made_and_kept_and_who_leaves_is_out() {
    let world = World::new().await;
    let (url, cloud) = cloud(&["ada", "bob", "eve"]).await;
    world.put("terraform", example(&url)).await;
    let step = async |step| world.is("payments", "terraform", step).await;
    step(Step::InStep).await;
    people_are(&cloud, &["ada", "bob"]).await;
    assert_eq!(level(&cloud).as_deref(), Some("write"));

    // By hand. It is told before it is healed, with what was found.
    let eve = cloud.lock().unwrap().membership("eve");
    {
        let mut cloud = cloud.lock().unwrap();
        let team = cloud.named(TEAM);
        cloud.within.get_mut(&team).unwrap().insert(eve);
        let access = cloud.access.values_mut().find(|one| one.0 == team);
        access.unwrap().2 = "admin".into();
    }
    world.sync().await;
    people_are(&cloud, &["ada", "bob"]).await;
    let drift = eventually("the drift is told and healed", SOON, async || {
        let told = world.told().await;
        let at = told.iter().position(|(kind, _)| kind == "drift")?;
        (told.len() == at + 2).then(|| told[at].1.clone())
    })
    .await;
    let expected = json!([
        { "what": "members/eve@acme.example", "found": "member", "wanted": null },
        { "what": "access/attributes/access", "found": "\"admin\"", "wanted": "\"write\"" },
    ]);
    assert_eq!(drift["differences"], expected);
    assert_eq!(level(&cloud).as_deref(), Some("write"));
    assert_eq!(step(Step::InStep).await.drifts, 1);

    // Somebody leaves.
    *world.source.0.lock().unwrap() = Some(["ada".to_owned()].into());
    world.sync().await;
    people_are(&cloud, &["ada"]).await;
    // Told three times, it is as if told once.
    let before = step(Step::InStep).await.looked;
    let sent = cloud.lock().unwrap().sent.clone();
    for _ in 0..3 {
        world.sync().await;
    }
    eventually("it is looked at again", SOON, async || {
        let status = world.is("payments", "terraform", Step::InStep).await;
        (status.looked > before).then_some(())
    })
    .await;
    assert_eq!(cloud.lock().unwrap().sent, sent);

    // Somebody whom the organization does not know holds up nobody else.
    *world.source.0.lock().unwrap() = Some(["bob".to_owned(), "cy".to_owned()].into());
    world.sync().await;
    people_are(&cloud, &["bob"]).await;
    let status = step(Step::OutOfStep).await;
    let why = "`cy` is not known there as `cy@acme.example`";
    assert!(status.message.contains(why), "{status:?}");
    // What was there before is nobody's business.
    assert!(cloud.lock().unwrap().people("owners").is_empty());
    world.driver.shutdown().await;
}

#[tokio::test]
async fn for_a_team_that_leaves_nothing_is_made_again() {
    let world = World::new().await;
    let (url, cloud) = cloud(&["ada", "bob"]).await;
    world.put("terraform", example(&url)).await;
    world.is("payments", "terraform", Step::InStep).await;
    people_are(&cloud, &["ada", "bob"]).await;
    // While nobody looks: what a team misses that stays is made again.
    world.driver.shutdown().await;
    {
        let mut cloud = cloud.lock().unwrap();
        cloud.workspaces.clear();
        cloud.access.clear();
    }
    offboard(&world.store).await;
    let driver = driven(&world.store, &world.teams);
    people_are(&cloud, &[]).await;
    eventually("nobody is in it", SOON, async || {
        let team = world.store.expect::<Team>("", "payments").await.unwrap();
        let left = integrations_left(&world.store, &team).await.unwrap();
        left.is_empty().then_some(())
    })
    .await;
    assert!(cloud.lock().unwrap().workspaces.is_empty());
    driver.shutdown().await;
}

#[tokio::test]
async fn what_is_sent_three_times_and_out_of_order_gives_one_result() {
    let (url, cloud) = cloud(&["ada", "bob", "eve"]).await;
    let (http, config) = (tool("http"), config(&url));
    assert_eq!(http.check(&config), []);
    let wanted = reached(team(&["ada", "bob"]));
    let first = look(http.as_ref(), &config, &wanted).await.unwrap();
    // Nothing of it is there: where a team leaves, nothing would be made.
    assert_eq!(first.presence, Presence::Absent);
    for _ in 0..5 {
        let found = look(http.as_ref(), &config, &wanted).await.unwrap();
        for repair in found
            .repairs
            .iter()
            .rev()
            .cycle()
            .take(found.repairs.len() * 3)
        {
            // A second of the same name is refused.
            if let Err(error) = send(http.as_ref(), &config, &repair.call).await {
                assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
            }
        }
    }
    let healed = heal(http.as_ref(), &config, &wanted).await;
    assert!(healed.is_empty(), "{healed:?}");
    let expected = ["ada@acme.example", "bob@acme.example"].map(str::to_owned);
    assert_eq!(cloud.lock().unwrap().people(TEAM), expected.into());
    assert_eq!(level(&cloud).as_deref(), Some("write"));
    assert_eq!(cloud.lock().unwrap().access.len(), 1);
}

#[tokio::test]
async fn what_is_on_a_later_page_is_there() {
    let (url, cloud) = cloud(&["ada"]).await;
    crowded(&cloud);
    let (http, config) = (tool("http"), config(&url));
    let healed = heal(http.as_ref(), &config, &reached(team(&["ada"]))).await;
    assert_eq!(
        healed,
        [
            r#"team/attributes/visibility: "secret" -> "organization""#,
            "members/ada@acme.example: - -> member",
            r#"access/attributes/access: "read" -> "write""#,
        ]
    );
    assert_eq!(cloud.lock().unwrap().access.len(), 4);
}

#[tokio::test]
async fn of_a_list_that_is_not_whole_only_those_who_have_left_are_removed() {
    let (url, cloud) = cloud(&["ada", "bob", "eve"]).await;
    let (http, config) = (tool("http"), config(&url));
    let all = reached(team(&["ada", "bob", "eve"]));
    heal(http.as_ref(), &config, &all).await;
    let wanted = reached(seen(&["ada"], &["bob"]));
    let healed = heal(http.as_ref(), &config, &wanted).await;
    assert_eq!(healed, ["members/bob@acme.example: member -> -"]);
    let expected = ["ada@acme.example", "eve@acme.example"].map(str::to_owned);
    assert_eq!(cloud.lock().unwrap().people(TEAM), expected.into());
}

#[tokio::test]
async fn what_is_captured_is_there_or_it_is_said_what_is_missing() {
    let (url, _) = cloud(&["ada"]).await;
    let http = tool("http");
    let with = |capture: &str| {
        let mut config = config(&url);
        let team = config["checks"][0].as_object_mut().unwrap();
        team.remove("find");
        team.remove("equals");
        team.insert("capture".into(), json!({ "team_id": capture }));
        assert_eq!(http.check(&config), []);
        config
    };
    // A list that has no such item: it is made, and captured once it is there.
    let wanted = reached(team(&["ada"]));
    let healed = heal(http.as_ref(), &with("/data/0/id"), &wanted).await;
    assert_eq!(
        healed[..2],
        [
            "team: - -> present",
            "members/ada@acme.example: - -> member"
        ]
    );
    // An answer that is another than the description takes it to be says nothing of what is there.
    for wrong in ["/items/0/id", "/data/id", "/links/next"] {
        let found = look(http.as_ref(), &with(wrong), &wanted).await;
        let error = found.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        let why =
            format!("`team`: the tool could not be asked: its answer has nothing at `{wrong}`");
        assert!(error.message.starts_with(&why), "{error}");
    }
}

#[tokio::test]
async fn of_several_that_could_be_meant_none_is_taken() {
    let (url, cloud) = cloud(&["ada"]).await;
    for _ in 0..2 {
        cloud.lock().unwrap().team(TEAM);
    }
    let found = look(
        tool("http").as_ref(),
        &config(&url),
        &reached(team(&["ada"])),
    )
    .await;
    let error = found.unwrap_err();
    assert!(error.message.contains("several items"), "{error}");
    assert!(cloud.lock().unwrap().sent.is_empty());
}

#[test]
fn what_nothing_captures_is_found_before_it_is_taken() {
    let http = tool("http");
    let with = |change: fn(&mut Value)| {
        let mut config = config("http://127.0.0.1:1");
        change(&mut config["checks"]);
        http.check(&config)
    };
    assert_eq!(with(|_| ()), []);
    // What is captured may be a list, or have parts.
    for body in [
        "[{% for one in captured.access_id %}{{ one.id | tojson }}{% endfor %}]",
        "{\"id\": {{ captured.access_id.of | tojson }}}",
    ] {
        let mut config = config("http://127.0.0.1:1");
        config["checks"][3]["update"]["body"] = json!(body);
        assert_eq!(http.check(&config), [], "{body}");
    }
    for (problems, why) in [
        (
            with(|checks| checks[1]["get"] = json!("/teams/{{ captured.team }}")),
            "`captured.team`, which nothing before it captures",
        ),
        // What a check captures is not known before its thing is made.
        (
            with(|checks| checks[0]["create"]["path"] = json!("/{{ captured.team_id }}")),
            "`captured.team_id`, which nothing",
        ),
        (
            with(|checks| checks[1]["members"]["lookup"]["capture"] = json!({ "id": "/id" })),
            "`captured.membership_id`, which nothing",
        ),
        (
            with(|checks| checks[0]["capture"]["team-id"] = json!("/id")),
            "`team-id` is no name",
        ),
        (
            with(|checks| checks[2]["capture"]["workspace_id"] = json!("data/id")),
            "is no JSON pointer",
        ),
        (
            with(|checks| checks[1]["remove"] = Value::Null),
            "`add` and `remove` are not both there",
        ),
        (
            with(|checks| checks[1]["members"] = Value::Null),
            "without `members`",
        ),
        (
            with(|checks| checks[3]["update"] = Value::Null),
            "`equals` is without `update`",
        ),
        (
            with(|checks| checks[0]["find"]["where"] = json!({})),
            "`find.where` says nothing",
        ),
        (
            with(|checks| checks[0]["pages"] = json!("links")),
            "unknown variant",
        ),
        // Whoever is called `x","role":"admin` would write what is sent.
        (
            with(|checks| checks[1]["add"]["body"] = json!("{\"id\": \"{{ person.name }}\"}")),
            "gives no JSON",
        ),
        (
            with(|checks| {
                checks[1]["add"]["body"] = json!("{\"id\": \"{{ captured.membership_id }}\"}");
            }),
            "gives no JSON",
        ),
    ] {
        assert_eq!(problems.len(), 1, "{why}: {problems:?}");
        assert!(problems[0].message.contains(why), "{why}: {problems:?}");
    }
}
