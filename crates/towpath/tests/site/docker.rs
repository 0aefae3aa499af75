//! Images of programs of this workspace, and what Docker itself lists.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// Whom clients of TLS trust: they do not begin without.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// An image that holds one program with the libraries and certificates that it needs, and nothing else. Removed when
/// dropped.
pub struct Image {
    pub reference: String,
}

impl Image {
    /// Of the program `name`, which is built beside the tests. `version` is its tag, and what the
    /// program finds in `VERSION`. `mark` keeps the images of tests that run at once apart.
    pub fn of(name: &str, version: &str, mark: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_towpath")).with_file_name(name);
        assert!(program.is_file(), "build it first: cargo build -p {name}");
        let root = tempfile::tempdir().expect("a directory");
        // Symbols are most of it, and the daemon has no use for them.
        let packed = root.path().join(name);
        let stripped = Command::new("strip")
            .args([Path::new("-o"), &packed, &program])
            .status();
        if !stripped.is_ok_and(|status| status.success()) {
            std::fs::copy(&program, &packed).expect("it is copied");
        }
        let mut files = libraries(&program);
        files.push(CERTIFICATES.into());
        for file in files {
            let to = root
                .path()
                .join(file.strip_prefix("/").expect("it is absolute"));
            std::fs::create_dir_all(to.parent().expect("it has one")).expect("a directory");
            std::fs::copy(&file, to).expect("a file of the system is copied");
        }
        // A temporary directory is its owner's alone; `/` of a container is everybody's to look into.
        output(Command::new("chmod").arg("755").arg(root.path()));
        let reference = format!("towpath-test/{name}-{mark}:{version}");
        let import = "tar -C \"$1\" -c . | docker import --change \"ENTRYPOINT [\\\"/$2\\\"]\" \
                      --change \"ENV VERSION=$3\" - \"$4\"";
        let root = root.path().to_str().expect("it is text");
        let arguments = ["import", root, name, version, &reference];
        output(Command::new("sh").args(["-ec", import]).args(arguments));
        Self { reference }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let removed = Command::new("docker")
            .args(["image", "rm", "--force", &self.reference])
            .output();
        assert!(
            removed.is_ok_and(|it| it.status.success()) || std::thread::panicking(),
            "{} stays behind",
            self.reference
        );
    }
}

/// The libraries that a program is linked with, the loader too.
fn libraries(program: &Path) -> Vec<PathBuf> {
    let listed = output(Command::new("ldd").arg(program));
    listed
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(|word| PathBuf::from(word.trim_end_matches(':')))
        .collect()
}

/// What Docker lists that bears the name of an environment: containers, those that have ended too,
/// networks and volumes.
pub fn listed(environment: &str) -> BTreeMap<&'static str, Vec<String>> {
    let [containers, networks, volumes] = [
        &["ps", "--all", "--format", "{{.Names}}"][..],
        &["network", "ls", "--format", "{{.Name}}"],
        &["volume", "ls", "--format", "{{.Name}}"],
    ]
    .map(|arguments| {
        let all = output(Command::new("docker").args(arguments));
        let mark = format!("-{environment}");
        let ours = all.lines().filter(|name| name.contains(&mark));
        ours.map(ToOwned::to_owned).collect()
    });
    BTreeMap::from([
        ("container", containers),
        ("network", networks),
        ("docker volume", volumes),
    ])
}

/// One field of a container, as `docker inspect --format` writes it.
pub fn inspected(container: &str, format: &str) -> String {
    output(Command::new("docker").args(["inspect", "--format", format, container]))
}

/// What a command that must succeed writes.
fn output(command: &mut Command) -> String {
    let ended = command.output().expect("it can be run");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {said}");
    String::from_utf8(ended.stdout).expect("it writes text")
}

/// Removes what a failed test has left of an environment in Docker.
pub struct Cleaned(pub String);

impl Drop for Cleaned {
    fn drop(&mut self) {
        let label = format!("label=dev.towpath.environment={}", self.0);
        let script = format!(
            "docker ps -aq --filter {label} | xargs -r docker rm -f >/dev/null; \
             docker network ls -q --filter {label} | xargs -r docker network rm >/dev/null"
        );
        let cleaned = Command::new("sh").arg("-c").arg(script).status();
        assert!(cleaned.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
