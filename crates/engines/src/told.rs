//! What a program is told of its ports, by variables.

use std::collections::{BTreeMap, BTreeSet};

use delivery::score::main_port;

/// The variable that tells a program the port `name`: `PORT_<NAME>`.
pub(crate) fn variable(name: &str) -> String {
    format!("PORT_{}", name.to_uppercase().replace(['-', '.'], "_"))
}

/// How to mend that a program listens on one of its ports, and not on another.
pub(crate) const BOTH: &str =
    "let it listen on both, or leave the one that it does not serve out of `service.ports`";

/// Where the program of a release is told to listen.
#[derive(Debug, Clone)]
pub(crate) struct Told<'p> {
    /// By the port's name.
    ports: BTreeMap<&'p str, u16>,
    /// The port that `PORT` tells: the main one, or the first of a workload that serves UDP alone.
    main: Option<&'p str>,
}

impl<'p> Told<'p> {
    /// Of all `ports`, and the names of those that are `tcp`.
    pub(crate) fn new(
        ports: impl IntoIterator<Item = (&'p String, u16)>,
        tcp: impl IntoIterator<Item = &'p String>,
    ) -> Self {
        let ports: BTreeMap<&str, u16> = (ports.into_iter())
            .map(|(name, port)| (name.as_str(), port))
            .collect();
        let main = main_port(tcp.into_iter().map(String::as_str));
        Self {
            main: main.or_else(|| ports.keys().next().copied()),
            ports,
        }
    }

    /// The variables that say it: `PORT` the main port, `PORT_<NAME>` each.
    pub(crate) fn variables(&self) -> BTreeMap<String, String> {
        let main = self.main.and_then(|main| self.ports.get(main));
        let main = main.map(|port| ("PORT".to_owned(), port.to_string()));
        let named = self.ports.iter();
        let named = named.map(|(name, port)| (variable(name), port.to_string()));
        main.into_iter().chain(named).collect()
    }

    /// The variable that says it of the port `name`, as a program would look for it.
    pub(crate) fn by(&self, name: &str) -> String {
        if self.main == Some(name) {
            return "PORT".into();
        }
        variable(name)
    }

    /// The first of `listening` that is none of these ports.
    pub(crate) fn elsewhere(&self, listening: &BTreeSet<u16>) -> Option<u16> {
        let told: BTreeSet<u16> = self.ports.values().copied().collect();
        listening.difference(&told).next().copied()
    }

    /// Another of these ports than `missing` that is one of `listening`, where nothing listens at that.
    pub(crate) fn other(&self, missing: &str, listening: &BTreeSet<u16>) -> Option<(&'p str, u16)> {
        let wanted = self.ports.get(missing);
        let mut all = self.ports.iter();
        all.find(|(_, port)| Some(*port) != wanted && listening.contains(*port))
            .map(|(name, port)| (*name, *port))
    }

    /// How to mend that the program listens at `other`, and not at `missing`.
    pub(crate) fn both(&self, missing: &str, other: &str) -> String {
        format!(
            "the variable {} tells it port {missing}, and {} port {other}: {BOTH}",
            self.by(missing),
            self.by(other)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of these ports, of which those whose name begins with `udp` are UDP.
    fn variables(names: &str) -> BTreeMap<String, String> {
        let names = names.split_whitespace().map(str::to_owned);
        let ports: BTreeMap<String, u16> = names.zip(1..).collect();
        let all = ports.iter().map(|(name, port)| (name, *port));
        let tcp = ports.keys().filter(|name| !name.starts_with("udp"));
        Told::new(all, tcp).variables()
    }

    #[test]
    fn port_tells_the_main_port_and_each_has_a_variable() {
        let told = variables("admin-ui web");
        assert_eq!(told["PORT"], "2");
        assert_eq!(told["PORT_ADMIN_UI"], "1");
        assert_eq!(told["PORT_WEB"], "2");
        for (names, main) in [
            ("http web www", "3"),
            ("http web", "2"),
            ("api http", "2"),
            ("api grpc", "1"),
            ("udp www", "2"),
            ("udp zoo", "2"),
            ("udp-a udp-b", "1"),
        ] {
            assert_eq!(variables(names)["PORT"], main, "{names}");
        }
        assert_eq!(variables(""), BTreeMap::new());
    }
}
