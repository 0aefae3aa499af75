//! Ports for servers under test, each for one test at a time.

use std::{
    env, fmt,
    fs::{self, File, OpenOptions, TryLockError},
    io,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::process::getuid;

/// Below the range from which Linux takes the ports of outgoing connections (32768 on): one of those could be
/// anybody's before the server listens, or while it starts anew. Apart from the 16000 to 32000 of which the
/// platform itself gives ports to servers and workloads.
const FIRST: u16 = 10_000;
const COUNT: u32 = 6_000;

/// So far apart begin two processes of which one was started just after the other. Has no factor in common
/// with [`COUNT`]: all places are begun at.
const APART: u32 = 617;

/// A port that no other test of this machine is given while the value lives, whatever process it is in.
///
/// To be kept for as long as anything listens there or is to listen there again.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Locked: the system gives it back when the process ends, however it ends.
    _held: File,
}

impl Port {
    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.number, f)
    }
}

/// A port of this machine on which nothing listens, and which is nobody else's until the value is dropped.
///
/// # Panics
/// Where none is free, or the directory in which tests tell each other of their ports cannot be written.
pub fn free_port() -> Port {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let directory = directory();
    fs::create_dir_all(&directory)
        .unwrap_or_else(|error| panic!("{} cannot be made: {error}", directory.display()));
    let begin = u64::from(process::id()) * u64::from(APART);
    let found = (0..COUNT).find_map(|_| {
        let step = u64::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let place = (begin + step) % u64::from(COUNT);
        take(&directory, FIRST + place as u16)
    });
    let last = FIRST + (COUNT - 1) as u16;
    found.unwrap_or_else(|| panic!("no port from {FIRST} to {last} is free: see who listens there"))
}

/// One for all test programs of a user: the files of another's could not be opened.
fn directory() -> PathBuf {
    env::temp_dir().join(format!("towpath-test-ports-{}", getuid().as_raw()))
}

/// The port `number`, unless it is given already or in use.
fn take(directory: &Path, number: u16) -> Option<Port> {
    let path = directory.join(number.to_string());
    // Never removed: of two who lock it, one would hold a file that is gone.
    let held = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .and_then(|file| match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        })
        .unwrap_or_else(|error| panic!("{} cannot be locked: {error}", path.display()))?;
    is_free(number).then_some(Port {
        number,
        _held: held,
    })
}

/// Whether nothing listens on it, at whatever address of this machine.
fn is_free(number: u16) -> bool {
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => false,
        Err(error) => panic!("port {number} cannot be tried: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_for_as_long_as_it_is_held() {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let held = take(directory.path(), port.number()).unwrap();
        assert!(take(directory.path(), port.number()).is_none());
        drop(held);
        assert!(take(directory.path(), port.number()).is_some());
    }

    #[test]
    fn a_port_on_which_somebody_listens_is_not_given() {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        for host in [Ipv4Addr::LOCALHOST, Ipv4Addr::UNSPECIFIED] {
            let listener = TcpListener::bind((host, port.number())).unwrap();
            assert!(take(directory.path(), port.number()).is_none(), "{host}");
            drop(listener);
            assert!(take(directory.path(), port.number()).is_some(), "{host}");
        }
    }

    #[test]
    fn many_at_once_have_each_their_own_below_those_of_outgoing_connections() {
        let ports: Vec<Port> = (0..100).map(|_| free_port()).collect();
        let numbers: std::collections::BTreeSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        assert!(
            numbers
                .iter()
                .all(|number| (10_000..16_000).contains(number))
        );
    }
}
