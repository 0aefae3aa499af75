//! Parameters of a Score file that the definition does not read.

use serde_json::{Value, json};

use crate::{
    desk::{Desk, definition, says, score},
    site::Site,
};

#[tokio::test]
async fn a_misspelt_parameter_is_refused_at_its_line_and_one_for_elsewhere_is_passed_over() {
    let data = tempfile::tempdir().unwrap();
    let site = Site::new(data.path());
    let _running = site.start().await;
    let desk = Desk::on(&site);
    desk.apply(&[
        definition("plain", "thing", &json!({ "by": "plain" }), &json!({})),
        definition(
            "sized",
            "thing",
            &json!({ "by": "sized", "size": "${params.size}" }),
            &json!({ "criteria": [{ "role": "qa" }] }),
        ),
    ])
    .await;
    let file = |greeting: &str, params: &Value| {
        let need = json!({ "need": { "type": "thing", "params": params } });
        desk.file("hello.yaml", &score("hello", greeting, &need))
    };

    let said = desk
        .refused(3, &["plan", &file("one", &json!({ "sise": 1 }))])
        .await;
    let why =
        "resource `need` of workload `hello` gives a parameter `sise`, which plain@1 does not read";
    says(&said, &["hello.yaml:1:", why, "did you mean `size`?"]);

    let sized = json!({ "size": 1 });
    let said = desk.done(&["plan", &file("one", &sized)]).await;
    says(
        &said,
        &["does not read the parameter `size`, as `sized` does"],
    );
    desk.done(&["deploy", &file("one", &sized)]).await;
    desk.done(&["deploy", &file("two", &sized)]).await;
    // What was deployed once can be returned to, though its record knows nothing of `sized`.
    desk.done(&["rollback", "--to", "d-1"]).await;
}
