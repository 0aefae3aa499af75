//! The parts of a platform that run beside its requests, each by its name and none unwatched.

use std::{collections::HashMap, future::Future};

use kernel::{Error, ErrorKind};
use tokio::task::{Id, JoinSet};

/// Parts that run until the platform stops. Dropping it ends them.
#[derive(Default)]
pub(crate) struct Parts {
    tasks: JoinSet<()>,
    running: HashMap<Id, Part>,
}

struct Part {
    /// What it does, for people: "the API".
    name: &'static str,
    /// Whether it ends by itself when it has done what it is for.
    ends: bool,
}

impl Parts {
    /// A part without which the platform is not whole.
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.begin(Part { name, ends: false }, work);
    }

    /// A part that ends by itself when it has done what it is for.
    pub(crate) fn run_once(
        &mut self,
        name: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        self.begin(Part { name, ends: true }, work);
    }

    fn begin(&mut self, part: Part, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(work);
        self.running.insert(task.id(), part);
    }

    /// Waits until a part panics, or ends that should not; says which. Forgets nothing where it is given up.
    pub(crate) async fn failed(&mut self) -> Error {
        loop {
            let (id, why) = match self.tasks.join_next_with_id().await {
                None => std::future::pending().await,
                Some(Ok((id, ()))) => (id, None),
                Some(Err(error)) => (error.id(), Some(error.to_string())),
            };
            match (self.running.remove(&id), why) {
                (Some(Part { ends: true, .. }), None) => {}
                (part, why) => {
                    let name = part.map_or("a part of the platform", |part| part.name);
                    let why = why.unwrap_or_else(|| "it ended by itself".into());
                    return Error::new(
                        ErrorKind::Internal,
                        format!("{name} has failed, and the platform cannot go on without"),
                    )
                    .remedy("start it again; its log says what went before")
                    .caused_by(why);
                }
            }
        }
    }

    /// Waits until all have ended, as they do when the platform stops.
    pub(crate) async fn end(&mut self) {
        while let Some(done) = self.tasks.join_next_with_id().await {
            if let Err(error) = done {
                let part = self.running.get(&error.id()).map(|part| part.name);
                tracing::warn!(%error, part, "a part of the platform failed");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_named() {
        let mut parts = Parts::default();
        parts.run("the API", std::future::pending());
        parts.run_once("the installation", async {});
        parts.run("the gateway", async { panic!("a canary") });
        let error = parts.failed().await;
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(
            error.message.starts_with("the gateway has failed"),
            "{error}"
        );
        assert!(error.chain().contains("a canary"), "{}", error.chain());
    }

    #[tokio::test]
    async fn a_part_that_ends_before_its_time_is_named() {
        let mut parts = Parts::default();
        parts.run("the routing", async {});
        let error = parts.failed().await;
        assert!(
            error.message.starts_with("the routing has failed"),
            "{error}"
        );
    }
}
