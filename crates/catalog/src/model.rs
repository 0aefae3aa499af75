//! Starter kits: types and invariants. No I/O.

use std::collections::{BTreeMap, BTreeSet};

use kernel::{Kind, Name, Problem};
use serde::{Deserialize, Serialize};

/// Files on a kit at the most.
pub const MOST_FILES: usize = 100;

/// A golden path to a new repository, as data. Scope: the platform.
#[derive(Debug)]
pub enum StarterKit {}

impl Kind for StarterKit {
    const KIND: &'static str = "StarterKit";
    type Spec = StarterKitSpec;
    type Status = StarterKitStatus;

    fn noun() -> String {
        "starter kit".into()
    }

    fn listed_by(_: &str) -> Option<String> {
        Some("towpath get starter-kits".into())
    }
}

/// What a kit makes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StarterKitSpec {
    /// For people: what one gets.
    pub description: String,
    /// What can be had beside it, by name: a database, a queue, a bucket.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, KitOption>,
    /// Texts that its templates know as `values.NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// The files, in any order.
    pub files: Vec<KitFile>,
}

/// What can be had beside the service itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KitOption {
    /// For people.
    pub description: String,
}

/// One file of a kit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KitFile {
    /// Where it goes, below the repository: `src/main.rs`.
    pub path: String,
    /// A template (minijinja) over `name`, `team`, `prefix` (of the team's environments), `server`, `with` (the options that were asked for) and
    /// `values`.
    pub content: String,
    /// Whether it can be run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub executable: bool,
}

/// Where a kit is from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct StarterKitStatus {
    /// It came with the platform, and follows its version.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub built_in: bool,
}

/// Whether `path` stays below the directory that it is written into, and away from what git keeps there.
pub fn stays_below(path: &str) -> bool {
    let parts = || path.split('/');
    !path.is_empty()
        && !path.contains(['\\', '\0'])
        && !path.chars().any(char::is_control)
        && parts().all(|part| !matches!(part, "" | "." | ".."))
        && !parts()
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case(".git"))
}

/// What is wrong with the shape of `spec`, which stands at `place`.
pub fn problems(spec: &StarterKitSpec, place: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for option in spec.options.keys() {
        if let Err(error) = Name::new(option.as_str()) {
            let at = format!("{place}.options.{option}");
            problems.push(Problem::new("kit/option", at, error.to_string()));
        }
    }
    if spec.files.is_empty() || spec.files.len() > MOST_FILES {
        let message = format!(
            "a kit has 1 to {MOST_FILES} files, and not {}",
            spec.files.len()
        );
        problems.push(Problem::new("kit/files", format!("{place}.files"), message));
    }
    let paths: BTreeSet<&str> = spec.files.iter().map(|file| file.path.as_str()).collect();
    let mut seen = BTreeSet::new();
    for (index, file) in spec.files.iter().enumerate() {
        let path = file.path.as_str();
        let mut wrong = |message: String, remedy: &str| {
            let at = format!("{place}.files[{index}].path");
            problems.push(Problem::new("kit/path", at, message).remedy(remedy));
        };
        if !stays_below(path) {
            wrong(
                format!("`{path}` is no path below a repository"),
                "write it relative to the repository's root: `src/main.rs`",
            );
        } else if !seen.insert(path) {
            wrong(format!("`{path}` is there twice"), "keep one of them");
        } else if let Some(above) = above(path).find(|above| paths.contains(above)) {
            wrong(
                format!("`{above}` is a file, and `{path}` is below it"),
                "give one of them another path",
            );
        }
    }
    problems
}

/// The directories that `path` is in.
fn above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(end, _)| &path[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_out_of_the_repository() {
        for good in ["score.yaml", ".github/workflows/ci.yaml", "a/b..c/.d"] {
            assert!(stays_below(good), "{good}");
        }
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a//b",
            "./x",
            "a/.",
            "a\\..\\b",
            ".git/hooks/pre-commit",
            ".GIT/config",
            "a\0b",
            "a\nb",
            "a/",
        ] {
            assert!(!stays_below(bad), "{bad:?}");
        }
    }

    #[test]
    fn files_have_each_their_own_place() {
        let file = |path: &str| KitFile {
            path: path.into(),
            ..KitFile::default()
        };
        let kit = |paths: &[&str]| StarterKitSpec {
            files: paths.iter().map(|path| file(path)).collect(),
            ..StarterKitSpec::default()
        };
        assert!(problems(&kit(&["a", "b/c", "b/d"]), "spec").is_empty());
        for bad in [&["a", "a"][..], &["b", "b/c"], &["../a"], &[]] {
            assert_eq!(problems(&kit(bad), "spec").len(), 1, "{bad:?}");
        }
    }
}
