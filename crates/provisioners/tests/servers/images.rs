//! Images for servers in containers, made of this machine's own programs.

use std::process::Command;

use crate::support::present;

/// Runs Docker's command line; its output where it succeeds.
pub fn docker(args: &[&str]) -> Option<String> {
    let output = Command::new("docker").args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.trim().to_owned())
}

/// An image under the name by which Towpath asks for it.
pub struct Image {
    name: &'static str,
    is_made: bool,
}

impl Image {
    /// The image of a server of `sort`: the real one where Docker has it, else one that is made and
    /// removed in the end. Without either the test is skipped.
    pub fn of(sort: &str, name: &'static str) -> Option<Self> {
        let answers = docker(&["version"]).is_some();
        if !present("docker", answers, "no engine answers") {
            return None;
        }
        if docker(&["image", "inspect", name]).is_some() {
            return Some(Self {
                name,
                is_made: false,
            });
        }
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/servers/images/make.sh");
        let made = Command::new("sh")
            .args([script, sort, name])
            .output()
            .unwrap();
        let missing = made.status.code() == Some(3);
        let reason = format!("there is no image `{name}`, and no program to make it of");
        assert!(
            made.status.success() || missing,
            "no image `{name}`: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        present(sort, !missing, &reason).then(|| Self {
            name,
            is_made: true,
        })
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.is_made {
            docker(&["rmi", self.name]);
        }
    }
}
