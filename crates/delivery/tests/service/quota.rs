//! What a team has beside its namespaces, where many deploy at once.

use futures::future::join_all;
use kernel::{Caller, ErrorKind};
use serde_json::json;
use towpath_delivery::api::{CreateEnvironment, NewDeployment};

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

/// As many workloads as there may be, and no more, however many come at once.
async fn at_once_no_more_workloads_are_given_than_there_may_be(room: Room) {
    let amounts = json!({ "cpu": "100", "memory": "100Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let allowance = json!({
        "namespaces": 0, "quota": quota, "environments": quota, "workloads": 3,
    });
    room.register("payments", allowance).await;
    let environments: Vec<String> = (0..8).map(|number| format!("pr-{number}")).collect();
    let all = environments
        .iter()
        .map(|environment| room.deploy_for("payments", environment, "100m"));
    let (given, refused): (Vec<_>, Vec<_>) =
        join_all(all).await.into_iter().partition(Result::is_ok);
    assert_eq!((given.len(), refused.len()), (3, 5));
    for refused in refused {
        let error = refused.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error:?}");
        let problem = &error.problems[0];
        assert_eq!(problem.rule, "team/allowance");
        assert_eq!(problem.path, "workloads.notes");
        assert_eq!(
            problem.message,
            "team `payments` would have 4 workloads, and its allowance is 3: it has 3, and notes would be new"
        );
        let remedy = problem.remedy.as_deref().unwrap();
        assert!(remedy.contains("platform engineer"), "{remedy}");
    }
    // Another release is no other workload.
    for one in given {
        let environment = one.unwrap().meta.scope;
        let again = room.deploy_for("payments", &environment, "200m").await;
        again.unwrap();
    }
}

/// Not what was counted when they were planned, beside each other.
async fn at_once_each_is_told_what_it_comes_to(room: Room) {
    let amounts = json!({ "cpu": "100", "memory": "100Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let allowance = json!({
        "namespaces": 0, "quota": quota, "environments": quota, "workloads": 5,
    });
    room.register("payments", allowance).await;
    let environments: Vec<String> = (0..5).map(|number| format!("pr-{number}")).collect();
    let all = environments
        .iter()
        .map(|environment| room.deploy_for("payments", environment, "100m"));
    let deployed = join_all(all).await.into_iter().map(Result::unwrap);
    let told = deployed.flat_map(|one| one.spec.plan.warnings);
    let mut told: Vec<_> = told.filter(|one| one.ends_with("workloads")).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "team `payments` will have 4 of its 5 workloads",
            "team `payments` will have 5 of its 5 workloads",
        ]
    );
}

/// All of them fit, and each counts those before it.
async fn thirty_who_deploy_at_once_for_one_team_all_do(room: Room) {
    let amounts = json!({ "cpu": "100", "memory": "100Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let allowance = json!({
        "namespaces": 0, "quota": quota, "environments": quota, "workloads": 30,
    });
    room.register("payments", allowance).await;
    let replica = room.replica();
    let all = (0..30).map(|number| {
        let delivery = if number % 2 == 0 {
            &*room.delivery
        } else {
            &replica
        };
        let room = &room;
        async move {
            let environment = format!("pr-{number}");
            room.deploy_by(delivery, "payments", &environment, "100m")
                .await
        }
    });
    for deployed in join_all(all).await {
        deployed.unwrap();
    }
    let refused = room.deploy_for("payments", "pr-30", "100m").await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_several_workloads_take_together_is_said_at_one_of_them() {
    let room = Room::open().await;
    let amounts = json!({ "cpu": "1", "memory": "1Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let allowance = json!({
        "namespaces": 0, "quota": quota, "environments": quota, "workloads": 1,
    });
    room.register("payments", allowance).await;
    let each = json!({ "cpu": "600m", "memory": "1M" });
    let workload = |name: &str| {
        let workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": name },
            "containers": { "main": {
                "image": "notes:1", "resources": { "requests": each, "limits": each },
            } },
        });
        (name.to_owned(), workload)
    };
    let order = NewDeployment {
        workloads: ["notes", "search"].map(workload).into(),
        create_environment: Some(CreateEnvironment::default()),
        ..NewDeployment::default()
    };
    let caller = Caller {
        teams: vec!["payments".into()],
        ..Caller::local_admin()
    };
    let refused = room.delivery.deploy(&caller, "pr-1", order).await;
    let problems = refused.unwrap_err().problems;
    let paths: Vec<_> = problems.iter().map(|one| one.path.as_str()).collect();
    // Of processors to reserve, of those to use, and of workloads.
    assert_eq!(paths, ["workloads.notes"; 3], "{problems:?}");
}

/// What a container does not say counts by default where an allowance bounds it, and nowhere else.
async fn what_is_not_said_counts_by_default_where_something_bounds_it(room: Room) {
    let amounts = json!({ "cpu": "150m", "memory": "1Gi" });
    let quota = json!({ "requests": amounts, "limits": amounts });
    let allowance = json!({ "namespaces": 0, "quota": quota, "environments": quota });
    room.register("payments", allowance).await;
    let deploy = async |team: &str, environment: &str| {
        let workload = json!({
            "apiVersion": "score.dev/v1b1",
            "metadata": { "name": "notes" },
            "containers": { "main": { "image": "notes:1" } },
        });
        let order = NewDeployment {
            workloads: [("notes".to_owned(), workload)].into(),
            create_environment: Some(CreateEnvironment::default()),
            ..NewDeployment::default()
        };
        let caller = Caller {
            teams: vec![team.into()],
            ..Caller::local_admin()
        };
        room.delivery.deploy(&caller, environment, order).await
    };
    let told = deploy("payments", "pr-1").await.unwrap().spec.plan.warnings;
    let by_default = "notes.containers.main: requests 100m, 128Mi by default";
    assert!(
        told.iter().any(|one| one.starts_with(by_default)),
        "{told:?}"
    );
    let problems = deploy("payments", "pr-2").await.unwrap_err().problems;
    assert_eq!(problems[0].rule, "team/allowance");
    let who = "notes (by default) asks for 100m, the other workloads for 100m, and 50m is left";
    assert!(problems[0].message.ends_with(who), "{problems:?}");
    // The same again is no more than there is.
    deploy("payments", "pr-1").await.unwrap();

    // Of a team that is no customer nothing is counted.
    for environment in ["crowd-1", "crowd-2"] {
        let told = deploy("crowd", environment)
            .await
            .unwrap()
            .spec
            .plan
            .warnings;
        assert!(
            !told.iter().any(|one| one.contains("by default")),
            "{told:?}"
        );
    }
}

mod sqlite {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_not_said_counts_by_default_where_something_bounds_it() {
        let room = Room::open().await;
        super::what_is_not_said_counts_by_default_where_something_bounds_it(room).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn thirty_who_deploy_at_once_for_one_team_all_do() {
        super::thirty_who_deploy_at_once_for_one_team_all_do(Room::open().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_no_more_workloads_are_given_than_there_may_be() {
        super::at_once_no_more_workloads_are_given_than_there_may_be(Room::open().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_no_more_is_given_than_there_is() {
        super::at_once_no_more_is_given_than_there_is(Room::open().await).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_each_is_told_what_it_comes_to() {
        super::at_once_each_is_told_what_it_comes_to(Room::open().await).await;
    }
}

mod postgres {
    use super::Room;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_not_said_counts_by_default_where_something_bounds_it() {
        if let Some(room) = Room::on_postgres().await {
            super::what_is_not_said_counts_by_default_where_something_bounds_it(room).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn thirty_who_deploy_at_once_for_one_team_all_do() {
        if let Some(room) = Room::on_postgres().await {
            super::thirty_who_deploy_at_once_for_one_team_all_do(room).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_no_more_workloads_are_given_than_there_may_be() {
        if let Some(room) = Room::on_postgres().await {
            super::at_once_no_more_workloads_are_given_than_there_may_be(room).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_no_more_is_given_than_there_is() {
        if let Some(room) = Room::on_postgres().await {
            super::at_once_no_more_is_given_than_there_is(room).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn at_once_each_is_told_what_it_comes_to() {
        if let Some(room) = Room::on_postgres().await {
            super::at_once_each_is_told_what_it_comes_to(room).await;
        }
    }
}
