//! The one conversion of [`crate::Error`] to HTTP (RFC 9457), and what every `http.rs` shares.
