//! What is wrong with documents by themselves, before any is written.

use std::collections::BTreeSet;

use kernel::{Kind as _, Problem};

use super::Delivery;
use crate::{
    definition::{self, Applicable},
    model::{Environment, EnvironmentRole, ResourceDefinition},
};

impl Delivery {
    /// Everything that is wrong with `documents`, each with where it stands.
    pub(super) fn check_documents(&self, documents: &[(String, Applicable)]) -> Vec<Problem> {
        let known: Vec<_> = self.provisioners.keys().copied().collect();
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for (place, document) in documents {
            let (kind, meta) = match document {
                Applicable::ResourceDefinition(d) => {
                    problems.extend(definition::check(
                        place,
                        &d.spec,
                        |name| self.provisioner(name).map(|p| p.as_ref() as _),
                        &known,
                    ));
                    (ResourceDefinition::KIND, &d.metadata)
                }
                Applicable::EnvironmentRole(d) => (EnvironmentRole::KIND, &d.metadata),
                Applicable::Environment(d) => (Environment::KIND, &d.metadata),
            };
            if !seen.insert((kind, meta.name.clone())) {
                problems.push(
                    Problem::new(
                        "document/twice",
                        format!("{place}.metadata.name"),
                        format!("{kind} `{}` is in these documents twice", meta.name),
                    )
                    .remedy("keep one of them"),
                );
            }
        }
        problems
    }
}
