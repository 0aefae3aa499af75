//! Who has a host of the gateway, of those who want it at the same moment.

use futures::future::join_all;
use serde_json::json;

use crate::room::{LONG, Room};

const HOST: &str = "shop.example";

/// Environments that ask at once, each for a path of its own.
const ASKING: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_claim_paths_of_one_host_at_once_one_environment_has_it() {
    let room = Room::open().await;
    for round in 0..10 {
        let asking = (0..ASKING).map(|number| {
            let sign = json!({
                "type": "sign", "params": { "host": HOST, "path": format!("/{number}") },
            });
            let resources = [("sign".to_owned(), sign)].into_iter().collect();
            let environment = format!("e{round}-{number}");
            let room = &room;
            async move {
                let done = room
                    .deploy_to(&environment, "notes:1", resources, &[])
                    .await;
                (environment, done)
            }
        });
        let done = join_all(asking).await;
        let (has, has_not): (Vec<_>, Vec<_>) = done.iter().partition(|(_, done)| done.is_ok());
        let names: Vec<_> = has
            .iter()
            .map(|(environment, _)| environment.clone())
            .collect();
        assert_eq!(names.len(), 1, "{names:?}");
        assert_eq!(room.holders(HOST).await, names);
        for (_, refused) in has_not {
            let refused = refused.as_ref().unwrap_err();
            let problem = refused
                .problems
                .first()
                .unwrap_or_else(|| panic!("{refused}"));
            assert_eq!(problem.rule, "route/taken");
            assert!(problem.message.contains(&names[0]), "{}", problem.message);
        }
        room.end(&names[0]).await;
        testkit::eventually("the environment goes", LONG, || async {
            room.environment(&names[0]).await.is_none().then_some(())
        })
        .await;
    }
    assert_eq!(
        room.host_claims().await,
        0,
        "an ended environment holds none"
    );
}
