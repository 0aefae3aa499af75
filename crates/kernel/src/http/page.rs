//! Which page of a list is asked for.

use serde::{Deserialize, Serialize};

/// The query of a list: `?after=CURSOR&limit=20`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The cursor that the page before gave as `next`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Items on the page at the most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl From<PageQuery> for crate::Query {
    fn from(page: PageQuery) -> Self {
        Self {
            after: page.after,
            limit: page.limit.unwrap_or_default(),
            ..Self::default()
        }
    }
}
