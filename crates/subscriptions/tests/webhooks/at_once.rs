//! Many who subscribe at the same moment: as long as there is room, none is refused.

use futures::future::join_all;
use serde_json::json;

use crate::support::{Replica, settings, store};

testkit::on_both!(
    thirty_subscriptions_of_one_team_are_all_made,
    of_twenty_who_write_the_same_one_makes_it,
);

/// What so many are answered who write these at once, on two replicas.
async fn statuses(names: impl Iterator<Item = String>) -> Vec<u16> {
    let (store, _database) = store().await;
    let mut settings = settings();
    settings.per_team = 30;
    let replicas = [(); 2].map(|()| Replica::new(store.clone(), settings.clone()));
    let body = json!({ "types": ["thing.made"], "url": "http://127.0.0.1:1/" });
    let puts = names.enumerate().map(|(number, name)| {
        let path = format!("/v1/teams/pay/subscriptions/{name}");
        let (replica, body) = (&replicas[number % 2], body.clone());
        async move { replica.ask("pay", "PUT", &path, body).await.0 }
    });
    let mut answers = join_all(puts).await;
    answers.sort_unstable();
    for replica in replicas {
        replica.stop().await;
    }
    answers
}

async fn thirty_subscriptions_of_one_team_are_all_made() {
    let names = (0..30).map(|number| format!("hook-{number}"));
    assert_eq!(statuses(names).await, [201; 30]);
}

async fn of_twenty_who_write_the_same_one_makes_it() {
    let answers = statuses(std::iter::repeat_n("hook".to_owned(), 20)).await;
    assert_eq!(answers[..19], [200; 19]);
    assert_eq!(answers[19], 201);
}
