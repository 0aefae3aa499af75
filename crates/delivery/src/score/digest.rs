//! The digest of a release: the same content gives the same digest, and the digest gives nothing
//! away of the content.

use std::path::Path;

use kernel::Secret;
use sha2::{Digest, Sha256};

use crate::engine::{Before, Container, Probe, Release};

/// The digest of everything in `release` but its id, its team and its digest, in hexadecimal digits.
pub(super) fn of(release: &Release, key: &Secret) -> String {
    let key = key.derive("towpath release digest", 32);
    let mut content = Content(Sha256::new_with_prefix(key.expose()));
    content.count(release.containers.len());
    for (name, container) in &release.containers {
        content.text(name);
        content.container(container);
    }
    content.count(release.ports.len());
    for (name, port) in &release.ports {
        content.text(name);
        content.text(&format!("{} {} {}", port.port, port.target, port.udp));
    }
    content.text(&release.fixed_ports.to_string());
    content.count(release.reaches.len());
    for address in &release.reaches {
        content.text(&address.to_string());
    }
    // Twice, as HMAC does: the inner digest alone could be extended by who does not have the key.
    let inner = content.0.finalize();
    let outer = Sha256::new_with_prefix(key.expose()).chain_update(inner);
    format!("{:x}", outer.finalize())
}

/// Every piece goes in with its length before it, so that no two contents read alike.
struct Content(Sha256);

impl Content {
    fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.0.update(bytes);
    }

    fn count(&mut self, count: usize) {
        self.0.update((count as u64).to_be_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn path(&mut self, path: &Path) {
        self.bytes(path.as_os_str().as_encoded_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.count(texts.len());
        for text in texts {
            self.text(text);
        }
    }

    fn container(&mut self, container: &Container) {
        // Taken apart by name, so that a new field cannot be forgotten here.
        let Container {
            image,
            command,
            args,
            variables,
            files,
            volumes,
            cpu_limit_millis,
            memory_limit_bytes,
            cpu_request_millis,
            memory_request_bytes,
            liveness,
            readiness,
            before,
        } = container;
        self.text(image);
        self.texts(command);
        self.texts(args);
        self.count(variables.len());
        for (name, value) in variables {
            self.text(name);
            self.bytes(value.expose());
        }
        self.count(files.len());
        for file in files {
            self.path(&file.target);
            self.text(&file.mode.to_string());
            self.bytes(file.content.expose());
        }
        self.count(volumes.len());
        for volume in volumes {
            self.path(&volume.source);
            self.path(&volume.path);
            self.path(&volume.target);
            self.text(if volume.read_only { "ro" } else { "rw" });
        }
        let amounts = [
            cpu_limit_millis,
            memory_limit_bytes,
            cpu_request_millis,
            memory_request_bytes,
        ];
        for amount in amounts {
            self.text(&amount.map(|amount| amount.to_string()).unwrap_or_default());
        }
        self.probe(liveness.as_ref());
        self.probe(readiness.as_ref());
        self.count(before.len());
        for (name, before) in before {
            self.text(name);
            self.text(match before {
                Before::Started => "started",
                Before::Healthy => "healthy",
                Before::Complete => "complete",
            });
        }
    }

    fn probe(&mut self, probe: Option<&Probe>) {
        match probe {
            None => self.text("none"),
            Some(Probe::Exec { command }) => {
                self.text("exec");
                self.texts(command);
            }
            Some(Probe::Http(http)) => {
                self.text("http");
                self.texts(http.host.as_slice());
                self.text(&format!("{} {}", http.https, http.port));
                self.text(&http.path);
                self.count(http.headers.len());
                for (name, value) in &http.headers {
                    self.text(name);
                    self.text(value);
                }
            }
        }
    }
}
