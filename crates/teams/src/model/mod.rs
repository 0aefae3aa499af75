//! The kinds of teams: types and invariants. No I/O.

mod condition;
mod container_defaults;
mod finding;
mod integration;
mod namespace;
mod onboarding;
mod place;
mod quota;
mod quota_fields;
mod team;
mod tool;
mod tool_credential;

pub use condition::{Condition, Truth};
pub use container_defaults::ContainerDefaults;
pub use finding::{Counted, Finding, InStep, Known, Registration};
pub use integration::{
    Holding, Integration, IntegrationSpec, IntegrationState, IntegrationStatus, Origin, Step,
    TeamSelector, Told,
};
pub use namespace::{Namespace, NamespaceSpec, NamespaceStatus, NetworkPolicies, Peer, Usage};
pub use onboarding::{Heard, JoinedBy, Milestones, Newcomer, TeamOnboarding};
pub use place::{IntegrationPlace, PlaceSpec};
pub use quota::{Amounts, Cpu, Memory, Quota};
pub use quota_fields::{AmountsFields, QuotaFields};
pub use team::{
    Allowance, BoundGroup, Interaction, InteractionMode, Offboarding, Synced, Taken, Team,
    TeamSpec, TeamStatus, TeamType, may_be_group,
};
pub use tool::{Authentication, Authorization, Automation, Tool, ToolOwner, ToolSpec, ToolStatus};
pub use tool_credential::{CredentialKind, Due, KeptIn, Reminded, ToolCredential};
