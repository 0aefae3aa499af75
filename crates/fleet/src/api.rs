//! What the HTTP API of the fleet takes, beside the clusters themselves.

use std::collections::BTreeMap;

use kernel::{Meta, Name, Problem, cause::controls};
use serde::{Deserialize, Serialize};

use crate::model::{CONTROLS, ClusterSpec};

/// Labels on a cluster at the most, and the longest key and value.
const LABELS: (usize, usize) = (64, 253);

/// `PUT clusters/{name}`: what it should be, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewCluster {
    /// What it should be.
    pub spec: ClusterSpec,
    /// For selection.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// A cluster as it is applied.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ClusterDocument {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    pub(crate) metadata: ClusterMeta,
    pub(crate) spec: ClusterSpec,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterMeta {
    pub(crate) name: Name,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
}

/// What is wrong with the labels, which stand at `place`.
pub(crate) fn label_problems(labels: &BTreeMap<String, String>, place: &str) -> Vec<Problem> {
    let (most, longest) = LABELS;
    let wrong = |key: &str, message: String, remedy: &str| {
        let at = format!("{place}.{key}");
        Problem::new("cluster/label", at, message).remedy(remedy)
    };
    let mut problems = Vec::new();
    if labels.len() > most {
        let message = format!("there are {} labels, and {most} at the most", labels.len());
        problems.push(Problem::new("cluster/label", place, message).remedy("leave some out"));
    }
    for (key, value) in labels {
        if key == Meta::TEAM {
            problems.push(wrong(
                key,
                "a cluster is the platform's, and no team's".into(),
                "leave the label `team` out, or call it otherwise",
            ));
        } else if key.is_empty() || key.len().max(value.len()) > longest {
            problems.push(wrong(
                key,
                format!("a label has a key, and neither that nor its value is longer than {longest} bytes"),
                "write it shorter",
            ));
        } else if key.contains(controls) || value.contains(controls) {
            problems.push(wrong(key, CONTROLS.into(), "leave them out"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_controls_the_terminal_that_shows_it() {
        let rules = |key: &str, value: &str| {
            let labels = [(key.to_owned(), value.to_owned())].into();
            label_problems(&labels, "labels").len()
        };
        assert_eq!(rules("zone", "Zürich"), 0);
        for bad in ["\u{1b}[2J", "\n", "\u{200f}", "\u{202e}", "\u{2066}"] {
            assert_eq!(rules("zone", bad), 1, "{bad:?}");
            assert_eq!(rules(bad, "a"), 1, "{bad:?}");
        }
    }
}
