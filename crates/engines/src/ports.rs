//! Ports of this machine's loopback.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    hash::{BuildHasher as _, RandomState},
    io,
    net::{IpAddr, SocketAddr, TcpListener, UdpSocket},
};

use delivery::engine::Port;

/// Below the range from which Linux takes the ports of outgoing connections (32768 on): a port
/// between its choice and its use by the program is then nobody's by accident.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// Finds a free port for each of `ports`, none of them in `taken`.
pub(crate) fn allocate(
    host: IpAddr,
    ports: &BTreeMap<String, Port>,
    taken: &BTreeSet<u16>,
) -> io::Result<BTreeMap<String, SocketAddr>> {
    let mut taken = taken.clone();
    let mut allocated = BTreeMap::new();
    // Begins anywhere, so that two platforms on a machine rarely meet between choice and use.
    let size = RANGE.end - RANGE.start;
    let begin = RandomState::new().hash_one(()) as u16 % size;
    let mut candidates = (0..size).map(|step| RANGE.start + (begin + step) % size);
    for (name, port) in ports {
        let free = candidates.find(|candidate| {
            let address = SocketAddr::new(host, *candidate);
            !taken.contains(candidate)
                && if port.udp {
                    UdpSocket::bind(address).is_ok()
                } else {
                    TcpListener::bind(address).is_ok()
                }
        });
        let free = free.ok_or_else(|| {
            let message = format!("no port of {host} from {RANGE:?} is free");
            io::Error::new(io::ErrorKind::AddrInUse, message)
        })?;
        taken.insert(free);
        allocated.insert(name.clone(), SocketAddr::new(host, free));
    }
    Ok(allocated)
}

/// The TCP ports on which any of `pids` listens.
pub(crate) fn listening(pids: &BTreeSet<u32>) -> BTreeSet<u16> {
    let sockets: BTreeSet<String> = (pids.iter()).flat_map(|pid| sockets(*pid)).collect();
    // Processes without a network of their own all see the same tables.
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(listener)
                .collect::<Vec<_>>()
        })
        .filter(|(_, inode)| sockets.contains(inode))
        .map(|(port, _)| port)
        .collect()
}

/// The TCP ports on which anything listens in the network of the process `pid`, each with whether that is of localhost
/// only. None where the tables cannot be read.
pub(crate) fn listening_beside(pid: u32) -> Option<BTreeSet<(u16, bool)>> {
    // Docker's own name server in the network of each container: 127.0.0.11, as the kernel writes it.
    const RESOLVER: &str = "0B00007F";
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}"));
    // Without IPv6 there is no such table.
    let tables = [table("tcp").ok()?, table("tcp6").unwrap_or_default()];
    let found = tables.iter().flat_map(|table| table.lines().skip(1));
    let found = found.filter_map(|line| {
        let (port, _) = listener(line)?;
        let address = line.split_ascii_whitespace().nth(1)?.split(':').next()?;
        (address != RESOLVER).then_some((port, is_local(address)))
    });
    Some(found.collect())
}

/// Whether an address is of localhost, as the kernel writes it on a machine whose least byte is first.
fn is_local(address: &str) -> bool {
    // A program of both families that binds 127.0.0.1 has it as ::ffff:127.0.0.1.
    const MAPPED: &str = "0000000000000000FFFF0000";
    let four = address.strip_prefix(MAPPED).unwrap_or(address);
    four.len() == 8 && four.ends_with("7F") || address == "00000000000000000000000001000000"
}

/// Whether it can be told which sockets `pids` hold. Those of a process that has ended are none.
pub(crate) fn are_readable(pids: &BTreeSet<u32>) -> bool {
    pids.iter()
        .all(|pid| match fs::read_dir(format!("/proc/{pid}/fd")) {
            Ok(_) => true,
            Err(error) => error.kind() != std::io::ErrorKind::PermissionDenied,
        })
}

/// The inodes of the sockets that a process holds.
fn sockets(pid: u32) -> Vec<String> {
    // A process that has ended holds none.
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    (descriptors.flatten())
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .filter_map(|target| {
            let inode = target
                .to_str()?
                .strip_prefix("socket:[")?
                .strip_suffix(']')?;
            Some(inode.to_owned())
        })
        .collect()
}

/// Port and inode of a line of `/proc/net/tcp` that tells of a listening socket.
fn listener(line: &str) -> Option<(u16, String)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
    let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
    (*state == "0A").then(|| (port, (*inode).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_distinct() {
        let port = Port {
            port: 80,
            target: 8080,
            udp: false,
        };
        let ports = [("web".to_owned(), port), ("admin-ui".to_owned(), port)].into();
        let host = IpAddr::from([127, 0, 0, 1]);
        let first = allocate(host, &ports, &BTreeSet::new()).unwrap();
        let taken = first.values().map(SocketAddr::port).collect();
        let second = allocate(host, &ports, &taken).unwrap();
        let all: BTreeSet<_> = first.values().chain(second.values()).collect();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn sees_on_which_ports_a_process_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let pid = std::process::id();
        assert!(listening(&[pid].into()).contains(&port));
        let beside = listening_beside(pid).unwrap();
        assert!(beside.contains(&(port, true)));
        let open = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = open.local_addr().unwrap().port();
        assert!(listening_beside(pid).unwrap().contains(&(port, false)));
    }

    #[test]
    fn localhost_is_known_in_each_of_its_forms() {
        for local in [
            "0100007F",
            "00000000000000000000000001000000",
            "0000000000000000FFFF00000100007F",
        ] {
            assert!(is_local(local), "{local}");
        }
        for open in [
            "00000000",
            "020011AC",
            "00000000000000000000000000000000",
            "0000000000000000FFFF0000020011AC",
        ] {
            assert!(!is_local(open), "{open}");
        }
    }
}
