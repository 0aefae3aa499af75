//! The provisioners on real servers, used by the clients that real programs use.

mod postgres;
mod support;
