//! Which addresses may be reached.

use std::{fmt, net::IpAddr, str::FromStr};

use crate::{Error, Result};

/// How far requests to servers of others reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach(Kind);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Anywhere,
    PublicAnd(Vec<Network>),
}

impl Reach {
    /// The public internet, by TLS.
    pub const fn public() -> Self {
        Self(Kind::PublicAnd(Vec::new()))
    }

    /// The public internet by TLS, and these networks, with TLS or without.
    pub const fn public_and(networks: Vec<Network>) -> Self {
        Self(Kind::PublicAnd(networks))
    }

    /// Whatever the platform's machine reaches, with TLS or without.
    pub const fn anywhere() -> Self {
        Self(Kind::Anywhere)
    }

    /// Whether more than the public internet may be reached.
    pub(super) fn is_open(&self) -> bool {
        match &self.0 {
            Kind::Anywhere => true,
            Kind::PublicAnd(networks) => !networks.is_empty(),
        }
    }

    /// Whether this address may be connected to.
    pub fn allows(&self, address: IpAddr, tls: bool) -> bool {
        match &self.0 {
            Kind::Anywhere => true,
            Kind::PublicAnd(networks) => {
                let address = address.to_canonical();
                (tls && is_public(address)) || networks.iter().any(|n| n.contains(address))
            }
        }
    }
}

/// A network in the notation of RFC 4632: `10.1.0.0/16`, `fd00::/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (ours, theirs, width) = match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits().into(), theirs.to_bits().into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => (ours.to_bits(), theirs.to_bits(), 128),
            _ => return false,
        };
        let differs: u128 = ours ^ theirs;
        // A shift by the whole width is none that the type can do.
        differs
            .checked_shr(width - u32::from(self.prefix))
            .unwrap_or(0)
            == 0
    }
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || {
            Error::invalid(format!("`{}` is not a network", text.escape_debug()))
                .remedy("write it as ADDRESS/BITS: 10.1.0.0/16, fd00::/8")
        };
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| bad())?,
            None => width,
        };
        if prefix > width {
            return Err(bad());
        }
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Whether an address is of the public internet: neither of a private network, nor of this machine,
/// nor where clouds keep their machines' credentials, nor a way back to any of these.
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, third, _] = v4.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let benchmark = first == 198 && (18..20).contains(&second);
            let protocols = (first, second, third) == (192, 0, 0);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_documentation()
                || first == 0
                || first >= 224
                || shared
                || protocols
                || benchmark)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            // Global unicast, without documentation, and without the ways back to IPv4.
            (0x2000..0x4000).contains(&first)
                && first != 0x2002
                && v6.segments()[..2] != [0x2001, 0xdb8]
                && v6.segments()[..2] != [0x2001, 0]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_known() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "192.0.0.192",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "fd00:ec2::254",
            "::ffff:10.0.0.1",
            "2002:a00:1::",
            "64:ff9b::a00:1",
            "2001:db8::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in ["140.82.121.4", "8.8.8.8", "2606:50c0:8000::153"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_network_holds_what_begins_as_it_does() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let within = |text: &str, address: &str| network(text).contains(address.parse().unwrap());
        assert!(within("10.1.0.0/16", "10.1.255.255"));
        assert!(!within("10.1.0.0/16", "10.2.0.0"));
        assert!(within("0.0.0.0/0", "203.0.113.7"));
        assert!(within("10.0.0.7", "10.0.0.7"));
        assert!(!within("10.0.0.7", "10.0.0.6"));
        assert!(within("fd00::/8", "fdff::1"));
        assert!(within("::/0", "::1"));
        assert!(!within("fd00::/8", "10.0.0.1"));
        for bad in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0/8",
            "10.0.0.0/x",
            "host/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
