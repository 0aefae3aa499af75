//! What people read. Pure: values in, text out.

pub(crate) mod control;
pub(crate) mod describe;
pub(crate) mod difference;
pub(crate) mod document;
pub(crate) mod events;
pub(crate) mod failure;
pub(crate) mod graph;
pub(crate) mod onboarding;
pub(crate) mod plan;
pub(crate) mod quantity;
pub(crate) mod status;
pub(crate) mod svg;
pub(crate) mod table;
pub(crate) mod teams;
