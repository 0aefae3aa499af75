//! What a team has beside its namespaces, where many deploy at once.

use futures::future::join_all;
use kernel::ErrorKind;
use serde_json::json;

use crate::room::Room;

/// Each of them would fit.
async fn at_once_no_more_is_given_than_there_is(room: Room) {
    let amounts = json!({ "cpu": "1", "memory": "1Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let allowance = json!({ "namespaces": 0, "quota": quota, "environments": quota });
    room.register("payments", allowance).await;
    let environments: Vec<String> = (0..8).map(|number| format!("pr-{number}")).collect();
    let all = environments
        .iter()
        .map(|environment| room.deploy_for("payments", environment, "300m"));
    let (given, refused): (Vec<_>, Vec<_>) =
        join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!((given.len(), refused.len()), (3, 5));
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
        let rules: Vec<_> = error.problems.iter().map(|one| one.rule.as_str()).collect();
        assert!(rules.contains(&"team/allowance"), "{error:?}");
    }
    // What asks for no more than it has is deployed again, and takes nothing from anybody.
    let there = given.into_iter().map(|one| one.unwrap().meta.scope);
    for environment in there.collect::<Vec<_>>() {
        let again = room.deploy_for("payments", &environment, "300m").await;
        again.unwrap();
    }
}

mod sqlite {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_no_more_is_given_than_there_is() {
        super::at_once_no_more_is_given_than_there_is(Room::open().await).await;
    }
}

mod postgres {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_no_more_is_given_than_there_is() {
        if let Some(room) = Room::on_postgres().await {
            super::at_once_no_more_is_given_than_there_is(room).await;
        }
    }
}
