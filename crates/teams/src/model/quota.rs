//! Amounts of CPU and memory, and quotas made of them.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Visitor},
};

/// CPU, in thousandths of a core: `2`, `0.5`, `500m`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpu(pub u64);

/// Memory, in bytes: `1048576`, `512Mi`, `2Gi`, `1G`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(pub u64);

/// What memory may be counted in, the largest first of each kind.
const UNITS: [(&str, u64); 8] = [
    ("Ti", 1 << 40),
    ("Gi", 1 << 30),
    ("Mi", 1 << 20),
    ("Ki", 1 << 10),
    ("T", 1_000_000_000_000),
    ("G", 1_000_000_000),
    ("M", 1_000_000),
    ("K", 1_000),
];

/// Digits only: `str::parse` would take a sign as well.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

impl Cpu {
    /// Reads one. None where it is none, or more precise than a thousandth of a core.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(millis) = text.strip_suffix('m') {
            return number(millis).map(Self);
        }
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if fraction.is_empty() || fraction.len() > 3 {
            return None;
        }
        let places = u32::try_from(fraction.len()).ok()?;
        let fraction = number(fraction)? * 10_u64.pow(3 - places);
        let millis = number(whole)?.checked_mul(1000)?.checked_add(fraction)?;
        Some(Self(millis))
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) {
            write!(f, "{}", self.0 / 1000)
        } else {
            write!(f, "{}m", self.0)
        }
    }
}

impl Memory {
    /// Reads one. None where it is none, or beyond 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        let (digits, unit) = UNITS
            .iter()
            .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
            .unwrap_or((text, 1));
        number(digits)?.checked_mul(unit).map(Self)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |unit: u64| self.0 > 0 && self.0.is_multiple_of(unit);
        match UNITS.iter().find(|(_, unit)| whole(*unit)) {
            Some((suffix, unit)) => write!(f, "{}{suffix}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads an amount as YAML may hold it: text, or a number.
struct Reader<T> {
    such_as: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an amount, such as {}", self.such_as)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| {
            E::custom(format!(
                "`{text}` is no amount: write one such as {}",
                self.such_as
            ))
        })
    }
}

macro_rules! as_text {
    ($amount:ty, $such_as:literal) => {
        impl Serialize for $amount {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $amount {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                // What the deserializer itself says, that the field is missing, is told as it stands.
                deserializer.deserialize_any(Reader {
                    such_as: $such_as,
                    parse: Self::parse,
                })
            }
        }
    };
}

as_text!(Cpu, "`2` or `500m`");
as_text!(Memory, "`2Gi` or `512Mi`");

/// An amount of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amounts {
    /// Cores.
    #[schema(value_type = String)]
    pub cpu: Cpu,
    /// Bytes.
    #[schema(value_type = String)]
    pub memory: Memory,
}

/// How much the workloads of one namespace may ask for together, or all namespaces of one team.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// What they may reserve.
    pub requests: Amounts,
    /// What they may use at the most.
    pub limits: Amounts,
}

impl Default for Quota {
    /// What a namespace begins with: deliberately little, since a team raises it without asking anybody.
    fn default() -> Self {
        Self::of(2, 2, 10, 20)
    }
}

impl Quota {
    /// Nothing.
    pub const NONE: Self = Self::of(0, 0, 0, 0);

    /// Whole cores and gibibytes, requested and at the most.
    pub const fn of(cpu: u64, memory: u64, cpu_limit: u64, memory_limit: u64) -> Self {
        const fn amounts(cpu: u64, memory: u64) -> Amounts {
            Amounts {
                cpu: Cpu(cpu * 1000),
                memory: Memory(memory << 30),
            }
        }
        Self {
            requests: amounts(cpu, memory),
            limits: amounts(cpu_limit, memory_limit),
        }
    }

    /// Each amount by the name that people know it by, as a plain number and as it is written.
    pub fn parts(&self) -> [(&'static str, u64, String); 4] {
        let Self { requests, limits } = self;
        [
            ("requests.cpu", requests.cpu.0, requests.cpu.to_string()),
            (
                "requests.memory",
                requests.memory.0,
                requests.memory.to_string(),
            ),
            ("limits.cpu", limits.cpu.0, limits.cpu.to_string()),
            ("limits.memory", limits.memory.0, limits.memory.to_string()),
        ]
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let add = |a: &Amounts, b: &Amounts| Amounts {
            cpu: Cpu(a.cpu.0.saturating_add(b.cpu.0)),
            memory: Memory(a.memory.0.saturating_add(b.memory.0)),
        };
        Self {
            requests: add(&self.requests, &other.requests),
            limits: add(&self.limits, &other.limits),
        }
    }

    /// Where this is more than `most` allows: the part, and both amounts as they are written.
    pub fn beyond(&self, most: &Self) -> Vec<(&'static str, String, String)> {
        let pairs = self.parts().into_iter().zip(most.parts());
        pairs
            .filter(|((_, asked, _), (_, most, _))| asked > most)
            .map(|((part, _, asked), (_, _, most))| (part, asked, most))
            .collect()
    }

    /// A request that is beyond its own limit.
    pub fn contradiction(&self) -> Option<&'static str> {
        if self.requests.cpu > self.limits.cpu {
            Some("cpu")
        } else if self.requests.memory > self.limits.memory {
            Some("memory")
        } else {
            None
        }
    }
}
