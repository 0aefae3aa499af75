//! The kits that come with the platform: folders below `kits/`, whose `kit.yaml` names their files.

use kernel::{Error, Result};
use serde_json::Value;

use crate::{model::StarterKitSpec, service::read_kit};

/// A kit's own document, and the texts of its files.
struct Folder {
    kit: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! folder {
    ($kit:literal: $($file:literal => $path:literal),* $(,)?) => {
        Folder {
            kit: include_str!(concat!("../kits/", $kit, "/kit.yaml")),
            files: &[
                $(($path, include_str!(concat!("../kits/", $kit, "/", $file)))),*
            ],
        }
    };
}

const FOLDERS: [Folder; 4] = [
    folder!("python-service":
        "../common/delivery.yaml" => ".github/workflows/delivery.yaml",
        "../common/README.md" => "README.md",
        "../common/score.yaml" => "score.yaml",
        "service.py" => "service.py",
        "test_service.py" => "test_service.py",
        "Dockerfile" => "Dockerfile",
        "gitignore" => ".gitignore",
    ),
    folder!("node-service":
        "../common/delivery.yaml" => ".github/workflows/delivery.yaml",
        "../common/README.md" => "README.md",
        "../common/score.yaml" => "score.yaml",
        "service.js" => "service.js",
        "service.test.js" => "service.test.js",
        "package.json" => "package.json",
        "Dockerfile" => "Dockerfile",
        "gitignore" => ".gitignore",
    ),
    folder!("rust-service":
        "../common/delivery.yaml" => ".github/workflows/delivery.yaml",
        "../common/README.md" => "README.md",
        "../common/score.yaml" => "score.yaml",
        "main.rs" => "src/main.rs",
        "Cargo.toml.in" => "Cargo.toml",
        "Dockerfile" => "Dockerfile",
        "gitignore" => ".gitignore",
    ),
    folder!("python-consumer":
        "../common/delivery.yaml" => ".github/workflows/delivery.yaml",
        "README.md" => "README.md",
        "score.yaml" => "score.yaml",
        "../../../../examples/consumer/consumer.py" => "consumer.py",
        "test_consumer.py" => "test_consumer.py",
        "Dockerfile" => "Dockerfile",
        "gitignore" => ".gitignore",
    ),
];

/// The kits, by name. Fails where one of ours is wrong, which a test finds.
pub(crate) fn kits() -> Result<Vec<(String, StarterKitSpec)>> {
    FOLDERS.iter().map(kit).collect()
}

fn kit(folder: &Folder) -> Result<(String, StarterKitSpec)> {
    let broken = |why: String| Error::internal("a built-in starter kit is broken", why);
    let mut document: Value =
        serde_yaml_ng::from_str(folder.kit).map_err(|error| broken(error.to_string()))?;
    let files = document["spec"]["files"].as_array_mut();
    for file in files.ok_or_else(|| broken("it has no files".into()))? {
        let path = file["path"].as_str().unwrap_or_default().to_owned();
        let found = folder.files.iter().find(|(known, _)| *known == path);
        let (_, content) = found.ok_or_else(|| broken(format!("no text for {path}")))?;
        file["content"] = (*content).into();
    }
    let kit = read_kit(&document, "kit").map_err(|wrong| broken(format!("{wrong:?}")))?;
    Ok((kit.metadata.name.to_string(), kit.spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_kits_are_right_and_use_every_text() {
        let kits = kits().expect("they are right");
        let names: Vec<_> = kits.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "python-service",
                "node-service",
                "rust-service",
                "python-consumer"
            ]
        );
        for ((_, spec), folder) in kits.iter().zip(&FOLDERS) {
            assert_eq!(spec.files.len(), folder.files.len());
        }
    }
}
