//! `towpath identity admin-binding`

use clap::Args;
use serde_json::{Value, json};

use super::print;
use crate::{
    context::Context,
    failure::{Failure, Result},
};

/// The source of a group that names none, as `towpath up` takes it.
const LOCAL: &str = "local";

/// What begins the names that are a cluster's own.
const OWN: &str = "system:";

/// Print the ClusterRoleBinding that lets the platform's operators administer a Kubernetes cluster
///
/// It binds each group to the role `cluster-admin`, by the name that the cluster has for it: PREFIX SOURCE:GROUP, as
/// `towpath identity authentication-configuration` has the API server see it. Name the groups as for `towpath up`, and
/// apply what is printed again when they change. Needs no platform and no login.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath identity admin-binding --admin-group github:acme/platform | kubectl apply -f -\n  towpath identity admin-binding --prefix '' | kubectl apply -f -"
)]
pub(crate) struct AdminBinding {
    /// A group whose members administer the cluster. It is a group of the local source, unless another is named
    /// (`github:acme/platform`). May be given again; the variable takes several, separated by commas
    #[arg(
        long = "admin-group",
        env = "TOWPATH_ADMIN_GROUPS",
        hide_env_values = true,
        value_name = "[SOURCE:]GROUP",
        value_delimiter = ',',
        default_value = "platform"
    )]
    groups: Vec<String>,
    /// What the cluster puts before groups' names
    #[arg(long, value_name = "TEXT", default_value = "towpath:")]
    prefix: String,
}

impl AdminBinding {
    pub(super) fn run(&self, context: &Context) -> Result<()> {
        print(context, &self.document()?)
    }

    fn document(&self) -> Result<Value> {
        let subjects = self.groups.iter().map(|one| self.subject(one));
        let subjects: Vec<Value> = subjects.collect::<Result<_>>()?;
        Ok(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": { "name": "platform-admin-clusterrolebinding" },
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": subjects,
        }))
    }

    fn subject(&self, group: &str) -> Result<Value> {
        let (source, group) = group.split_once(':').unwrap_or((LOCAL, group));
        let name = format!("{}{source}:{group}", self.prefix);
        if source.is_empty() || group.is_empty() || name.starts_with(OWN) {
            let what = format!("`{}` is no group of the platform's", name.escape_debug());
            return Err(Failure::usage(what).remedy(
                "name it as for `towpath up`, --admin-group [SOURCE:]GROUP: github:acme/platform",
            ));
        }
        Ok(json!({
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Group",
            "name": name,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn binding(groups: &[&str], prefix: &str) -> AdminBinding {
        AdminBinding {
            groups: groups.iter().map(|&group| group.to_owned()).collect(),
            prefix: prefix.into(),
        }
    }

    #[test]
    fn each_group_administers_by_the_name_that_a_cluster_has_for_it() {
        let wanted = binding(&["platform", "github:acme/platform"], "towpath:");
        let written = wanted.document().unwrap();
        assert_eq!(written["kind"], "ClusterRoleBinding");
        assert_eq!(written["roleRef"]["name"], "cluster-admin");
        let subjects = written["subjects"].as_array().unwrap();
        let names: Vec<_> = subjects.iter().map(|one| &one["name"]).collect();
        assert_eq!(
            names,
            ["towpath:local:platform", "towpath:github:acme/platform"]
        );
    }

    #[test]
    fn no_group_of_the_cluster_itself_is_bound() {
        for (group, prefix) in [("system:masters", ""), (":platform", "towpath:"), ("", "")] {
            let failure = binding(&[group], prefix).document().unwrap_err();
            assert_eq!(failure.exit, Exit::Usage, "{group}");
        }
    }
}
