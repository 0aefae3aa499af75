//! Rego decisions.
