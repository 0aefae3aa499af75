//! Names and labels: by them the engine finds its own again, and leaves all else alone.

use std::collections::HashMap;

use delivery::engine::ReleaseRef;
use uuid::Uuid;

const PLATFORM: &str = "dev.towpath.platform";
const ENVIRONMENT: &str = "dev.towpath.environment";
const WORKLOAD: &str = "dev.towpath.workload";
const RELEASE: &str = "dev.towpath.release";
const CONTAINER: &str = "dev.towpath.container";
const DIGEST: &str = "dev.towpath.digest";
const PORTS: &str = "dev.towpath.ports";

/// What the labels of a container tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) release: ReleaseRef,
    pub(super) container: String,
    pub(super) digest: String,
    /// The release's ports, as JSON: needed before anybody says them again.
    pub(super) ports: String,
}

impl Labels {
    pub(super) fn write(&self, platform: Uuid) -> HashMap<String, String> {
        [
            (PLATFORM, platform.to_string()),
            (ENVIRONMENT, self.release.environment.clone()),
            (WORKLOAD, self.release.workload.clone()),
            (RELEASE, self.release.release.to_string()),
            (CONTAINER, self.container.clone()),
            (DIGEST, self.digest.clone()),
            (PORTS, self.ports.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// `None` where they are not ours.
    pub(super) fn read(labels: &HashMap<String, String>) -> Option<Self> {
        let text = |name: &str| labels.get(name).cloned();
        Some(Self {
            release: ReleaseRef {
                environment: text(ENVIRONMENT)?,
                workload: text(WORKLOAD)?,
                release: text(RELEASE)?.parse().ok()?,
            },
            container: text(CONTAINER)?,
            digest: text(DIGEST)?,
            ports: text(PORTS)?,
        })
    }
}

/// The filter for the daemon's lists: those of the platform, of the workload where it is given.
pub(super) fn filter(
    platform: Uuid,
    workload: Option<(&str, &str)>,
) -> HashMap<String, Vec<String>> {
    let mut labels = vec![format!("{PLATFORM}={platform}")];
    if let Some((environment, workload)) = workload {
        labels.push(format!("{ENVIRONMENT}={environment}"));
        labels.push(format!("{WORKLOAD}={workload}"));
    }
    [("label".to_owned(), labels)].into()
}

/// The environment of a network's labels.
pub(super) fn environment(labels: &HashMap<String, String>) -> Option<String> {
    labels.get(ENVIRONMENT).cloned()
}

/// The labels of an environment's network.
pub(super) fn network_labels(platform: Uuid, environment: &str) -> HashMap<String, String> {
    [
        (PLATFORM.to_owned(), platform.to_string()),
        (ENVIRONMENT.to_owned(), environment.to_owned()),
    ]
    .into()
}

/// The end of the platform's id, which is its random part: the beginning is the time.
fn short(platform: Uuid) -> String {
    let text = platform.simple().to_string();
    text[text.len() - 8..].to_owned()
}

pub(super) fn network(platform: Uuid, environment: &str) -> String {
    format!("towpath-{}-{environment}", short(platform))
}

pub(super) fn container(platform: Uuid, id: &ReleaseRef, container: &str) -> String {
    format!(
        "towpath-{}-{}-{}-{}-{container}",
        short(platform),
        id.environment,
        id.workload,
        id.release
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_written() {
        let labels = Labels {
            release: ReleaseRef {
                environment: "dev".into(),
                workload: "notes".into(),
                release: 3,
            },
            container: "web".into(),
            digest: "abc".into(),
            ports: "{}".into(),
        };
        assert_eq!(Labels::read(&labels.write(Uuid::now_v7())), Some(labels));
        assert_eq!(Labels::read(&HashMap::new()), None);
    }
}
