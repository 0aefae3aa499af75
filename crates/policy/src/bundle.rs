//! The texts of policies, and where they come from.

use std::path::Path;

use kernel::{Error, Result};
use sha2::{Digest, Sha256};

/// A Rego module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// What people know it by: `built-in/images.rego`, or a path.
    pub name: String,
    /// Its Rego source.
    pub source: String,
}

impl Module {
    /// Name and digest: which text it was that decided.
    pub fn reference(&self) -> String {
        let digest = Sha256::digest(&self.source);
        format!("{}@{}", self.name, kernel::bytes::hex(&digest[..6]))
    }
}

/// Rego modules that decide together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// In order of name.
    modules: Vec<Module>,
}

/// A policy file larger than this is not one that people read.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Bundle {
    /// What ships with Towpath.
    pub fn built_in() -> Self {
        let texts = [
            ("access", include_str!("../policies/access.rego")),
            ("data", include_str!("../policies/data.rego")),
            ("images", include_str!("../policies/images.rego")),
            ("input", include_str!("../policies/input.rego")),
            ("readiness", include_str!("../policies/readiness.rego")),
        ];
        let modules = texts.map(|(name, source)| Module {
            name: format!("built-in/{name}.rego"),
            source: source.into(),
        });
        Self {
            modules: modules.into(),
        }
    }

    /// Adds a module.
    #[must_use]
    pub fn with(mut self, module: Module) -> Self {
        self.modules.push(module);
        self.modules.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// Adds every `*.rego` of a directory, its subdirectories left out. A file that cannot be read is
    /// an error: a policy that is silently missing would let things through.
    pub fn with_directory(mut self, directory: &Path) -> Result<Self> {
        let unreadable = |path: &Path, error: std::io::Error| {
            Error::invalid(format!(
                "the policies in {} cannot be read: {error}",
                path.display()
            ))
            .remedy("correct the path or its permissions; the platform does not start without its policies")
        };
        let entries = std::fs::read_dir(directory).map_err(|e| unreadable(directory, e))?;
        for entry in entries {
            let path = entry.map_err(|e| unreadable(directory, e))?.path();
            if path.extension().is_none_or(|extension| extension != "rego") {
                continue;
            }
            let size = std::fs::metadata(&path)
                .map_err(|e| unreadable(&path, e))?
                .len();
            if size > MAX_FILE_BYTES {
                return Err(Error::invalid(format!(
                    "policy {} is {size} bytes; at most {MAX_FILE_BYTES} are read",
                    path.display()
                ))
                .remedy("split it"));
            }
            let source = std::fs::read_to_string(&path).map_err(|e| unreadable(&path, e))?;
            self = self.with(Module {
                name: path.display().to_string(),
                source,
            });
        }
        Ok(self)
    }

    /// The modules, in order of name.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }
}
