//! All events to somewhere else: NATS JetStream.

mod nats;

pub use self::nats::{LEASE, NatsOutlet};
