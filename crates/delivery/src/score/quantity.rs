//! Amounts of CPU and memory, and file modes, in Score's notation.

use super::{Compute, Quantities};

/// CPU and memory, in numbers; none where it is not said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Thousandths of a core.
    pub cpu_millis: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
}

impl Amounts {
    fn of(said: Option<&Quantities>) -> Self {
        Self {
            cpu_millis: said.and_then(|it| cpu_millis(it.cpu.as_deref()?)),
            memory_bytes: said.and_then(|it| memory_bytes(it.memory.as_deref()?)),
        }
    }
}

impl Compute {
    /// What is reserved, and what there may be at the most. Of a request beyond its limit only the limit
    /// can be kept.
    pub fn amounts(&self) -> (Amounts, Amounts) {
        let (asked, limits) = (
            Amounts::of(self.requests.as_ref()),
            Amounts::of(self.limits.as_ref()),
        );
        let within = |asked: Option<u64>, limit: Option<u64>| {
            asked.map(|asked| limit.map_or(asked, |limit| asked.min(limit)))
        };
        let requests = Amounts {
            cpu_millis: within(asked.cpu_millis, limits.cpu_millis),
            memory_bytes: within(asked.memory_bytes, limits.memory_bytes),
        };
        (requests, limits)
    }
}

/// Thousandths of a core: `2`, `0.5`, `.5`, `125m`. `None` where it is none of these, or is more
/// precise than a thousandth.
pub fn cpu_millis(text: &str) -> Option<u64> {
    if let Some(millis) = text.strip_suffix('m') {
        return number(millis);
    }
    let Some((whole, fraction)) = text.split_once('.') else {
        return number(text)?.checked_mul(1000);
    };
    let whole = if whole.is_empty() { 0 } else { number(whole)? };
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 3 {
        return None;
    }
    let millis = if fraction.is_empty() {
        0
    } else {
        number(fraction)? * 10_u64.pow(3 - fraction.len() as u32)
    };
    whole.checked_mul(1000)?.checked_add(millis)
}

/// Bytes: `1048576`, `500K`, `128M`, `1Gi`. `None` where it is none of these, or beyond 64 bits.
pub fn memory_bytes(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("K", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
    ];
    let (digits, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, *unit)))
        .unwrap_or((text, 1));
    if digits.starts_with('0') {
        return None;
    }
    number(digits)?.checked_mul(unit)
}

/// Permission bits: `600` or `0600`.
pub fn file_mode(text: &str) -> Option<u32> {
    let digits = match text.len() {
        4 => text.strip_prefix('0')?,
        3 => text,
        _ => return None,
    };
    if digits.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
        u32::from_str_radix(digits, 8).ok()
    } else {
        None
    }
}

/// Digits only: `str::parse` would take a sign as well.
fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}
