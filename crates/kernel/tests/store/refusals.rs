//! What is refused is in the log before it is answered, and a flood of it does not lengthen the log.

use std::sync::Arc;

use kernel::{Action, Authorizer, Caller, Event, EventFilter, Guard, Ruling, Store, Target};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::support::Database;

const DELETE: Action = Action::act("thing.delete");

/// Nobody may do anything.
struct Nobody;

impl Authorizer for Nobody {
    fn decide(&self, _: &Caller, _: Action, _: &Target<'_>) -> Ruling {
        Ruling::default()
    }

    fn sources(&self) -> Vec<(String, String)> {
        vec![]
    }
}

async fn refuse(guard: &Guard, who: &str, name: &str) {
    let caller = Caller {
        subject: who.into(),
        ..Caller::local_admin()
    };
    let target = Target {
        kind: "Thing",
        scope: "payments",
        name,
        team: "payments",
        environment: None,
    };
    let refused = guard.require(&caller, DELETE, &target).await;
    assert_eq!(refused.unwrap_err().kind, kernel::ErrorKind::Forbidden);
}

async fn told(store: &Store) -> Vec<Event> {
    let filter = EventFilter {
        type_prefix: Some(Guard::REFUSED.into()),
        ..EventFilter::default()
    };
    store.events(&filter, 0, 1000).await.unwrap()
}

async fn the_first_is_kept_at_once_and_the_same_again_counted(database: &Database) {
    let store = database.open().await;
    let guard = Guard::new(store.clone(), Arc::new(Nobody));
    for number in 1..=50 {
        // A clone counts with the others.
        refuse(&guard.clone(), "local:eve", "one").await;
        assert_eq!(told(&store).await.len(), 1, "{number}");
    }
    refuse(&guard, "local:eve", "two").await;
    refuse(&guard, "local:mal", "one").await;
    let first = told(&store).await;
    let counts: Vec<_> = first.iter().map(|event| &event.data["count"]).collect();
    assert_eq!(counts, [1, 1, 1]);
    let stop = CancellationToken::new();
    stop.cancel();
    guard.tell_refusals(stop).await;
    let rest = told(&store).await.split_off(3);
    let [rest] = &rest[..] else {
        panic!("{rest:?}");
    };
    assert_eq!(
        (&*rest.actor, &*rest.subject),
        ("local:eve", "Thing/payments/one")
    );
    assert_eq!(rest.data["count"], 49);
    store.close().await;
}

async fn who_tries_many_names_is_told_of_together(database: &Database) {
    let store = database.open().await;
    let guard = Guard::new(store.clone(), Arc::new(Nobody));
    for number in 0..300 {
        refuse(&guard, "local:eve", &format!("name-{number}")).await;
    }
    // Another has names of its own.
    refuse(&guard, "local:mal", "name-0").await;
    let stop = CancellationToken::new();
    stop.cancel();
    guard.tell_refusals(stop).await;
    let told = told(&store).await;
    assert_eq!(told.len(), 100 + 1 + 1 + 1);
    let together: Vec<_> = told
        .iter()
        .filter(|event| event.data["resource"]["name"] == "")
        .collect();
    let counts: Vec<_> = together.iter().map(|event| &event.data["count"]).collect();
    assert_eq!(counts, [1, 199]);
    for event in together {
        assert_eq!((&*event.actor, &*event.team), ("local:eve", ""));
        assert_eq!(event.data["action"], "thing.delete");
        assert_eq!(event.data["resource"]["scope"], json!(""));
    }
    store.close().await;
}

on_both!(
    the_first_is_kept_at_once_and_the_same_again_counted,
    who_tries_many_names_is_told_of_together,
);
