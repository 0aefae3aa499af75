//! Whose an environment is that is made without saying so.

use kernel::{Caller, ErrorKind};
use towpath_delivery::api::NewEnvironment;

use crate::room::Room;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_several_teams_it_is_the_one_whose_name_it_begins_with() {
    let room = Room::open().await;
    let caller = Caller {
        teams: ["aa1", "aa1-lab", "aa2"].map(str::to_owned).to_vec(),
        ..Caller::local_admin()
    };
    let make = |caller: Caller, name: &str| {
        let (delivery, name) = (room.delivery.clone(), name.to_owned());
        async move {
            let request = NewEnvironment {
                name,
                ..NewEnvironment::default()
            };
            delivery.environment_create(&caller, request).await
        }
    };
    for (name, team) in [
        ("aa1-exp2", "aa1"),
        ("aa1-lab-7", "aa1-lab"),
        ("aa2", "aa2"),
        // Of who operates the platform it may be nobody's in particular.
        ("aa10", "default"),
    ] {
        let made = make(caller.clone(), name).await.unwrap();
        assert_eq!(made.spec.team, team, "{name}");
    }
    let member = Caller {
        admin: false,
        ..caller
    };
    let error = make(member, "exp3").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(
        error.message.contains("several teams: aa1, aa1-lab, aa2"),
        "{}",
        error.message
    );
    assert!(error.remedy.unwrap().contains("--team"));
}
