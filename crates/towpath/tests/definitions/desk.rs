//! A place for files, and the command line that is given them.

use std::time::Duration;

use client::Client;
use delivery::model::ResourceInstance;
use kernel::Resource;
use serde_json::{Value, json};

use crate::site::{self, Site, work::Ended};

pub const LONG: Duration = Duration::from_mins(1);

/// A workload that greets with `greeting`, as a Score file: JSON is YAML, too.
pub fn score(name: &str, greeting: &str, resources: &Value) -> String {
    let variables = json!({ "GREETING": greeting });
    site::work::score(name, &variables, resources).to_string()
}

/// A definition of `resource_type` by a template with these outputs, and what `more` says.
pub fn definition(name: &str, resource_type: &str, outputs: &Value, more: &Value) -> String {
    let mut spec = json!({
        "type": resource_type, "provisioner": "template", "params": { "outputs": outputs },
    });
    let fields = spec.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    json!({
        "apiVersion": "towpath.dev/v1", "kind": "ResourceDefinition",
        "metadata": { "name": name }, "spec": spec,
    })
    .to_string()
}

/// A place for files, and the command line that is given them.
pub struct Desk<'a> {
    pub site: &'a Site,
    folder: tempfile::TempDir,
}

impl Desk<'_> {
    pub fn on(site: &Site) -> Desk<'_> {
        let folder = tempfile::tempdir().unwrap();
        Desk { site, folder }
    }

    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Applies documents, which must be right.
    pub async fn apply(&self, documents: &[String]) -> String {
        let file = self.file("documents.yaml", &documents.join("\n---\n"));
        self.done(&["apply", "-f", &file]).await
    }

    /// What a command that must succeed writes.
    pub async fn done(&self, arguments: &[&str]) -> String {
        let ended = self.site.cli(arguments).await;
        assert_eq!(ended.code, 0, "{arguments:?}: {}{}", ended.out, ended.err);
        ended.out
    }

    pub async fn json(&self, arguments: &[&str]) -> Value {
        let all = [arguments, &["-o", "json"]].concat();
        serde_json::from_str(&self.done(&all).await).unwrap()
    }

    /// What a command that must end with `code` says.
    pub async fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let Ended {
            code: found,
            out,
            err,
        } = self.site.cli(arguments).await;
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        format!("{out}{err}")
    }

    /// Waits until the workload answers with `greeting`.
    pub async fn greets(&self, host: &str, greeting: &str) {
        testkit::eventually(greeting, LONG, || async {
            let (_, said) = self.site.get(host).await.ok()?;
            (said == greeting).then_some(())
        })
        .await;
    }
}

pub async fn instances(client: &Client, environment: &str) -> Vec<Resource<ResourceInstance>> {
    let page = async |page| client.resources(environment, &page).await;
    client::every(page).await.unwrap()
}

pub async fn the_only(client: &Client, environment: &str) -> Resource<ResourceInstance> {
    let [only] = <[_; 1]>::try_from(instances(client, environment).await).unwrap();
    only
}

/// Every part is in the text.
#[track_caller]
pub fn says(text: &str, wanted: &[&str]) {
    for part in wanted {
        assert!(text.contains(part), "`{part}` is not in:\n{text}");
    }
}
