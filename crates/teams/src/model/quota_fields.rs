//! Quotas as they are told: what is not said stays as it is.

use serde::{Deserialize, Serialize};

use super::{Amounts, Cpu, Memory, Quota};

/// An amount of each, as far as it is told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmountsFields {
    /// Cores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub cpu: Option<Cpu>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub memory: Option<Memory>,
}

impl AmountsFields {
    /// These, and of what is not said those that there are.
    #[must_use]
    pub fn over(&self, there: &Amounts) -> Amounts {
        Amounts {
            cpu: self.cpu.unwrap_or(there.cpu),
            memory: self.memory.unwrap_or(there.memory),
        }
    }

    fn is_silent(&self) -> bool {
        *self == Self::default()
    }
}

/// How much the workloads of one namespace may ask for together, as far as it is told: the rest stays as it is, and
/// in a new namespace is what every one begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaFields {
    /// What they may reserve.
    #[serde(default, skip_serializing_if = "AmountsFields::is_silent")]
    pub requests: AmountsFields,
    /// What they may use at the most.
    #[serde(default, skip_serializing_if = "AmountsFields::is_silent")]
    pub limits: AmountsFields,
}

impl QuotaFields {
    /// This, and of what is not said what there is.
    #[must_use]
    pub fn over(&self, there: &Quota) -> Quota {
        Quota {
            requests: self.requests.over(&there.requests),
            limits: self.limits.over(&there.limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_part_is_told_by_itself() {
        let told: QuotaFields =
            serde_json::from_value(json!({ "requests": { "cpu": 1 }, "limits": {} })).unwrap();
        let there = Quota::default();
        let over = told.over(&there);
        assert_eq!(over.requests.cpu, Cpu(1000));
        assert_eq!(over.requests.memory, there.requests.memory);
        assert_eq!(over.limits, there.limits);
        assert_eq!(json!(told), json!({ "requests": { "cpu": "1" } }));
    }

    #[test]
    fn what_is_missing_is_named_and_what_is_no_amount_too() {
        let wrong = |value| {
            serde_json::from_value::<Quota>(value)
                .unwrap_err()
                .to_string()
        };
        let all = json!({ "cpu": 1, "memory": "1Gi" });
        for (quota, message) in [
            (
                json!({ "requests": { "cpu": 1 }, "limits": all }),
                "missing field `memory`",
            ),
            (json!({ "requests": all }), "missing field `limits`"),
            (
                json!({ "requests": { "cpu": {}, "memory": 1 }, "limits": all }),
                "invalid type: map, expected an amount, such as `2` or `500m`",
            ),
            (
                json!({ "requests": { "cpu": -1, "memory": 1 }, "limits": all }),
                "`-1` is no amount: write one such as `2` or `500m`",
            ),
        ] {
            assert_eq!(wrong(quota), message);
        }
    }
}
