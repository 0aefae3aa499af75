//! Who may what, by the rules that ship with the platform.

use secrets::{
    Sealed, SecretStore as _, Write,
    model::{Origin, SecretRef},
};
use serde_json::{Value, json};

use crate::support::Desk;

#[tokio::test]
async fn the_team_is_the_boundary() {
    let desk = Desk::open().await;
    let one = "payments/secrets/a";
    desk.write(one, "v").await;
    let body = json!({ "value": { "value": "w" } });
    // Read, list, write, reveal, rotate, delete.
    for (who, expected) in [
        ("nobody", [401; 6]),
        ("person.shop", [403; 6]),
        ("deploy.shop", [403; 6]),
        ("agent.payments", [200, 200, 403, 403, 403, 403]),
        ("deploy.payments", [200, 200, 403, 403, 403, 403]),
        ("service.payments", [200, 200, 200, 200, 200, 204]),
        ("person.payments", [404, 200, 200, 200, 200, 204]),
        ("admin", [404, 200, 200, 200, 200, 204]),
    ] {
        let rotation = json!({ "path": "a" });
        let got = [
            desk.get(who, one).await.status,
            desk.get(who, "payments/secrets").await.status,
            desk.ask(who, "PUT", one, &body).await.status,
            desk.get(who, &format!("{one}/value")).await.status,
            desk.ask(who, "POST", "payments/secret-rotations", &rotation)
                .await
                .status,
            desk.ask(who, "DELETE", one, &Value::Null).await.status,
        ];
        assert_eq!(got, expected, "{who}");
    }
    let events = desk.events().await;
    let refused = events
        .iter()
        .filter(|event| event.kind == "dev.towpath.authorization.refused")
        .map(|event| event.data["action"].as_str().unwrap());
    let mut refused: Vec<_> = refused.collect();
    refused.sort_unstable();
    refused.dedup();
    assert_eq!(
        refused,
        [
            "secret.delete",
            "secret.reveal",
            "secret.rotate",
            "secret.write"
        ]
    );
}

#[tokio::test]
async fn a_deploy_credential_is_told_no_values_nor_of_other_environments() {
    let desk = Desk::open().await;
    let values = Sealed::new(desk.room.store.clone());
    let system = kernel::Caller::system("test", uuid());
    for name in ["payments-dev/ci", "payments-prod/ci", "payments-dev-2/ci"] {
        let secret = SecretRef::new("payments", &format!("deploy-credentials/{name}")).unwrap();
        let write = Write {
            value: "key".into(),
            description: None,
            origin: Origin::DeployCredential,
            expected: None,
        };
        values.put(&system, &secret, write).await.unwrap();
    }
    let status = async |who: &str, name: &str| {
        let path = format!("payments/secrets/deploy-credentials%2F{name}%2Fci/value");
        desk.get(who, &path).await.status
    };
    for environment in ["payments-dev", "payments-prod", "payments-dev-2"] {
        assert_eq!(status("deploy.payments", environment).await, 403);
        assert_eq!(status("service.payments", environment).await, 200);
    }
    let listed = desk.get("deploy.payments", "payments/secrets").await.json;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
}

fn uuid() -> uuid::Uuid {
    kernel::Caller::local_admin().correlation
}
