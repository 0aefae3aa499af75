//! What a team may take by itself, part by part: `requests.cpu=40`.

use teams::model::{Allowance, Amounts, Cpu, Memory, Quota};

/// One part of an allowance, with what it is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Part {
    /// Namespaces beside the standard ones.
    Namespaces(u32),
    /// Workloads, wherever they run.
    Workloads(u32),
    /// An amount of the quotas of all namespaces together, or of what environments beside them ask for.
    Of {
        environments: bool,
        limits: bool,
        amount: Amount,
    },
}

/// An amount.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Amount {
    Cpu(Cpu),
    Memory(Memory),
}

/// Reads `PART=AMOUNT`.
pub(super) fn part(text: &str) -> Result<Part, String> {
    const PARTS: &str = "namespaces, workloads, requests.cpu, requests.memory, limits.cpu, limits.memory, and these \
                         after `environments.`";
    let (name, amount) = text
        .split_once('=')
        .ok_or_else(|| format!("`{text}` is not PART=AMOUNT"))?;
    let counted: Option<fn(u32) -> Part> = match name {
        "namespaces" => Some(Part::Namespaces),
        "workloads" => Some(Part::Workloads),
        _ => None,
    };
    if let Some(part) = counted {
        let count = amount.parse::<u32>().map(part);
        return count.map_err(|_| format!("`{amount}` is no number"));
    }
    let (environments, below) = match name.strip_prefix("environments.") {
        Some(below) => (true, below),
        None => (false, name),
    };
    let unknown = || format!("there is no part `{name}`: there are {PARTS}");
    let (limits, what) = match below.split_once('.') {
        Some(("requests", what)) => (false, what),
        Some(("limits", what)) => (true, what),
        _ => return Err(unknown()),
    };
    let amount = match what {
        "cpu" => Cpu::parse(amount).map(Amount::Cpu),
        "memory" => Memory::parse(amount).map(Amount::Memory),
        _ => return Err(unknown()),
    }
    .ok_or_else(|| {
        format!("`{amount}` is no amount: write cores such as 2 or 500m, memory such as 2Gi")
    })?;
    Ok(Part::Of {
        environments,
        limits,
        amount,
    })
}

/// `before` with these parts.
pub(super) fn with(before: Allowance, parts: &[Part]) -> Allowance {
    parts.iter().fold(before, |mut allowance, part| {
        match part {
            Part::Namespaces(count) => allowance.namespaces = *count,
            Part::Workloads(count) => allowance.workloads = *count,
            Part::Of {
                environments,
                limits,
                amount,
            } => {
                let quota: &mut Quota = if *environments {
                    &mut allowance.environments
                } else {
                    &mut allowance.quota
                };
                let amounts: &mut Amounts = if *limits {
                    &mut quota.limits
                } else {
                    &mut quota.requests
                };
                match amount {
                    Amount::Cpu(cpu) => amounts.cpu = *cpu,
                    Amount::Memory(memory) => amounts.memory = *memory,
                }
            }
        }
        allowance
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_change_and_the_rest_stays() {
        let given = [
            "namespaces=5",
            "workloads=300",
            "requests.cpu=40",
            "environments.limits.memory=64Gi",
        ];
        let parts: Vec<Part> = given.iter().map(|text| part(text).unwrap()).collect();
        let before = Allowance::default();
        let after = with(before.clone(), &parts);
        assert_eq!((after.namespaces, after.workloads), (5, 300));
        assert_eq!(after.quota.requests.cpu, Cpu(40_000));
        assert_eq!(after.quota.limits, before.quota.limits);
        assert_eq!(after.environments.limits.memory, Memory(64 << 30));
        assert_eq!(after.environments.requests, before.environments.requests);
    }

    #[test]
    fn what_is_none_is_refused() {
        for wrong in [
            "cpu=1",
            "requests.cpu",
            "requests.disk=1",
            "limits.cpu=x",
            "namespaces=-1",
            "workloads=1.5",
        ] {
            assert!(part(wrong).is_err(), "{wrong}");
        }
    }
}
