//! Whose a TCP connection of this machine is: from its addresses to the processes that hold it.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use rustix::process::geteuid;

/// A socket as the system lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Socket {
    /// 0: no process holds it any more.
    inode: u64,
    user: u32,
}

/// Whether an address is one of this machine's.
pub(crate) fn is_of_this_machine(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// The processes that hold the end `peer` of a connection whose other end is `here`. None of this machine
/// does: empty. An error where nobody can tell: its process has let go of it, or hides what it holds.
pub(crate) fn holders(peer: SocketAddr, here: SocketAddr) -> io::Result<Vec<u32>> {
    // A socket for both families is listed in the second table, whatever it is connected to.
    let mut found = None;
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let lines = match fs::read_to_string(table) {
            Ok(lines) => lines,
            // Without IPv6 there is no such table.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut sockets = lines.lines().skip(1);
        found = found.or_else(|| sockets.find_map(|line| socket(line, peer, here)));
    }
    let gone = |what: &str| io::Error::new(io::ErrorKind::NotConnected, what);
    let socket = match found {
        Some(socket) if socket.inode != 0 => socket,
        None if !is_of_this_machine(peer.ip()) => return Ok(vec![]),
        _ => return Err(gone("its process has let go of the connection")),
    };
    let link = format!("socket:[{}]", socket.inode);
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if holds(pid, &link) {
            holders.push(pid);
        }
    }
    // What runs as another user is no workload, where this one may not start anything as such.
    let others = !geteuid().is_root() && socket.user != geteuid().as_raw();
    if holders.is_empty() && !others {
        return Err(gone("no process shows that it holds the connection"));
    }
    Ok(holders)
}

/// Whether a process holds the socket of this link. One that has ended meanwhile, or that is somebody
/// else's, shows nothing.
fn holds(pid: u32, link: &str) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    (descriptors.flatten())
        .filter_map(|descriptor| fs::read_link(descriptor.path()).ok())
        .any(|target| target.as_os_str() == link)
}

/// The socket of a line of `/proc/net/tcp`, where its own end is `peer` and the other is `here`.
fn socket(line: &str, peer: SocketAddr, here: SocketAddr) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (own, other) = (fields.next()?, fields.next()?);
    if address(own)? != peer || address(other)? != here {
        return None;
    }
    Some(Socket {
        user: fields.nth(4)?.parse().ok()?,
        inode: fields.nth(1)?.parse().ok()?,
    })
}

/// An address as the system lists it: the words of its bytes as numbers of this machine, in hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..host.len()).step_by(8) {
        let word = u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    let host = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(bytes) => IpAddr::from(Ipv4Addr::from(bytes)),
        Err(_) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
    };
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddr::new(host.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Both ends of a connection to `listen`, reached as `target`.
    fn connection(listen: &str, target: &str) -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(listen).unwrap();
        let port = listener.local_addr().unwrap().port();
        let client = TcpStream::connect((target.parse::<IpAddr>().unwrap(), port)).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn plain(address: SocketAddr) -> SocketAddr {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    }

    #[test]
    fn the_holder_of_a_connection_is_found_by_its_addresses() {
        for (listen, target) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "::1"),
            ("[::]:0", "127.0.0.1"),
            ("127.0.0.1:0", "::ffff:127.0.0.1"),
        ] {
            let (client, server) = connection(listen, target);
            let (peer, here) = (server.peer_addr().unwrap(), server.local_addr().unwrap());
            let found = holders(plain(peer), plain(here)).unwrap();
            assert_eq!(found, [std::process::id()], "{listen} {target}");
            drop(client);
            let gone = holders(plain(peer), plain(here)).unwrap_err();
            assert_eq!(
                gone.kind(),
                io::ErrorKind::NotConnected,
                "{listen} {target}"
            );
        }
    }

    #[test]
    fn what_comes_from_elsewhere_is_held_by_nobody_here() {
        let peer = SocketAddr::from(([198, 51, 100, 7], 4000));
        let here = SocketAddr::from(([192, 0, 2, 1], 80));
        assert!(holders(peer, here).unwrap().is_empty());
    }
}
