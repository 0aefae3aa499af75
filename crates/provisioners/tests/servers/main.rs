//! The provisioners on real servers, used by the clients that real programs use.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod amqp;
mod away;
mod container;
mod images;
mod mysql;
mod postgres;
mod redis_rooms;
mod started;
mod support;
