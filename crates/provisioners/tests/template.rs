//! Templates: outputs from parameters and state, within bounds.

mod support;

use delivery::provisioner::{ProvisionError, Provisioned, Provisioner};
use serde_json::{Value, json};
use support::{is_secret, object, output, request};
use towpath_provisioners::Template;

async fn render(params: Value) -> Result<Provisioned, ProvisionError> {
    Template::new()
        .provision(&request("template", "notes.t", params))
        .await
}

#[tokio::test]
async fn outputs_follow_from_values_context_and_state() {
    let params = json!({
        "values": { "size": 3 },
        "state": { "count": "{{ (state.count | int if state else 0) + 1 }}" },
        "outputs": "name: {{ context.team }}-{{ context.environment }}\nsize: {{ values.size * 2 }}\ncount: {{ state.count }}\n",
        "secrets": { "url": "user:{{ credential('db') }}@{{ outputs.name }}" },
    });
    let mut request = request("template", "notes.t", params);
    let made = Template::new().provision(&request).await.unwrap();
    assert_eq!(output(&made, "name"), "payments-dev");
    assert_eq!(output(&made, "size"), "6");
    assert_eq!(output(&made, "count"), "1");
    let credential = request.credential("db");
    let expected = format!("user:{}@payments-dev", credential.expose());
    assert_eq!(output(&made, "url"), expected);
    assert!(is_secret(&made, "url") && !is_secret(&made, "name"));

    // Each call sees the last state, and the credential follows the rotation.
    request.state = made.state;
    request.rotation = 2;
    let next = Template::new().provision(&request).await.unwrap();
    assert_eq!(output(&next, "count"), "2");
    assert_ne!(output(&next, "url"), expected);
}

#[tokio::test]
async fn a_credential_cannot_reach_what_people_see() {
    for part in ["state", "outputs"] {
        let mut params = json!({ "outputs": { "a": "b" } });
        params[part] = json!({ "leak": "{{ credential('x') }}" });
        let error = render(params).await.unwrap_err();
        assert!(error.message.contains(part), "{error}");
        assert!(!error.retry);
    }
    let both = json!({ "outputs": { "a": "1" }, "secrets": { "a": "2" } });
    assert!(render(both).await.unwrap_err().message.contains("both"));
}

#[tokio::test]
async fn an_error_of_a_secrets_template_does_not_quote_it() {
    let params = json!({ "secrets": { "a": "{{ credential('x') | items }}" } });
    let request = request("template", "notes.t", params);
    let error = Template::new().provision(&request).await.unwrap_err();
    let credential = request.credential("x");
    assert!(!error.message.contains(credential.expose()));
    assert!(error.message.contains("secrets.a"), "{error}");
}

#[tokio::test]
async fn what_is_undefined_endless_or_too_large_is_an_error() {
    for (template, says) in [
        ("{{ values.missing }}", "undefined"),
        (
            "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
            "fuel",
        ),
        (
            "{% for i in range(900) %}{% for j in range(10) %}0123456789{% endfor %}{% endfor %}",
            "more than",
        ),
        ("{% include '/etc/passwd' %}", "not found"),
    ] {
        let error = render(json!({ "outputs": { "a": template } }))
            .await
            .unwrap_err();
        assert!(error.message.contains(says), "{template}: {error}");
        assert!(error.message.contains("outputs.a"), "{error}");
    }
    let error = render(json!({ "outputs": "just text" })).await.unwrap_err();
    assert!(error.message.contains("no object"), "{error}");
}

#[test]
fn secrets_that_are_constants_are_not_ended_by_a_rotation() {
    let why = |params| Template::new().not_ended_by_rotation(&object(params), &json!(null), 1);
    for secrets in [
        json!({ "key": "canary", "port": 5432 }),
        json!({ "key": "of-{{ context.team }}-{{ values.word }}" }),
        json!("key: my-credential"),
    ] {
        let why = why(json!({ "secrets": secrets, "values": { "word": "canary" } })).unwrap();
        assert!(why.contains("resource definition"), "{why}");
        assert!(!why.contains("canary"), "{why}");
    }
    for secrets in [
        json!({ "user": "notes", "key": "{{ credential('key') }}" }),
        json!({ "url": "https://${resources.token.token}@example.com" }),
        json!({ "url": "{{ values.url }}" }),
        json!({ "key": "{{ context.rotation }}" }),
    ] {
        let params = json!({ "secrets": secrets, "values": { "url": "${resources.db.url}" } });
        assert_eq!(why(params), None, "{secrets}");
    }
    assert_eq!(why(json!({ "outputs": { "a": "b" } })), None);
}

#[test]
fn mistakes_show_before_anything_is_rendered() {
    let check = |params| Template::new().check(&object(params));
    assert_eq!(
        check(json!({ "outputs": { "a": "{{ oops" } }))[0].path,
        "params.outputs.a"
    );
    assert_eq!(check(json!({ "values": {} }))[0].rule, "params/missing");
    let typo = check(json!({ "output": {}, "secrets": {} }));
    assert_eq!(typo[0].remedy.as_deref(), Some("did you mean `outputs`?"));
    // Doubled sixty times, sixteen bytes are more than there is memory.
    let bomb = "{% set ns = namespace(s='x') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}";
    let problem = &check(json!({ "outputs": { "a": bomb } }))[0];
    assert!(problem.message.contains("{% set %}"), "{problem:?}");
}
