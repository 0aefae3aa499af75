//! The one conversion of [`crate::Error`] to HTTP (RFC 9457), and what every `http.rs` shares.
//!
//! A handler takes [`Caller`](crate::Caller), [`Path`], [`Query`], [`Json`] and what else it needs
//! as arguments, and answers `Result<...>`; whatever fails, in an extractor or in the handler, is
//! answered as one problem document. [`correlate`] goes around all routes, and [`idempotent`] around those
//! that change something.

mod access;
mod authentication;
mod body;
mod correlation;
mod events;
mod extract;
pub mod html;
mod idempotency;
mod page;
mod problem;
mod room;
mod strangers;
mod stream;

pub use self::{
    access::{
        AccessAnswer, AccessAnswers, AccessApi, AccessPlace, AccessQuestion, AccessReview,
        access_routes,
    },
    authentication::{AdminToken, Authenticator, REASON, Session},
    body::{Json, Whole, expect_json, read_json},
    correlation::{CORRELATION_ID, correlate},
    events::{EventPage, EventQuery, EventsApi, routes},
    extract::{ETag, IdempotencyKey, IfMatch, Path, Query},
    idempotency::{IdempotencyKeys, idempotent},
    page::PageQuery,
    problem::{ProblemDocument, no_such_method, no_such_route},
    room::Rooms,
    strangers::Strangers,
    stream::{Sight, event_stream},
};
