//! The provisioners on real servers, used by the clients that real programs use.

mod amqp;
mod away;
mod container;
mod mysql;
mod postgres;
#[path = "redis.rs"]
mod redis_;
mod started;
mod support;
