//! Who asks. Passed as an argument, never read from a global.

use uuid::Uuid;

/// The identity behind a request or a reconciler's work, and the correlation id that joins all
/// events of what it asked for.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Stable identity: `local-admin`, `system:delivery`.
    pub subject: String,
    /// The teams whose rights the caller has.
    pub teams: Vec<String>,
    /// Whether the caller operates the platform.
    pub admin: bool,
    /// Joins the events of one piece of work.
    pub correlation: Uuid,
}

impl Caller {
    /// The holder of the local admin token.
    pub fn local_admin() -> Self {
        Self {
            subject: "local-admin".into(),
            teams: vec![],
            admin: true,
            correlation: Uuid::now_v7(),
        }
    }

    /// Whether an event's `actor` is a part of the platform itself, and no person or pipeline.
    pub fn is_system(actor: &str) -> bool {
        actor == "system" || actor.starts_with("system:")
    }

    /// A part of the platform itself, continuing the work `correlation`.
    pub fn system(part: &str, correlation: Uuid) -> Self {
        Self {
            subject: format!("system:{part}"),
            teams: vec![],
            admin: true,
            correlation,
        }
    }
}
