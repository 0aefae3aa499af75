//! The platform's log.

use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::context::{Context, Format};

/// Whether what a library says is fit for the log, whatever `RUST_LOG` asks for. Docker's client writes
/// its requests down whole, and with them the environment of a container and the login to a registry.
fn is_fit(about: &Metadata<'_>) -> bool {
    *about.level() <= Level::INFO || !about.target().starts_with("bollard")
}

/// What is written where `RUST_LOG` says nothing. `s3s` calls what it refuses an error, with the whole answer: a
/// request that is not signed as it should be, one for what there is not. That is its caller's, who is answered so;
/// a fault of the storage is logged where it happens.
const USUAL: &str = "info,sqlx=warn,hyper=warn,lapin=warn,s3s=off";

/// Writes the log to standard error from now on.
pub(super) fn write(context: &Context) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(context.terminal.color);
    match context.global.output {
        Format::Json => log.json().finish().with(filter_fn(is_fit)).init(),
        Format::Text | Format::Yaml => log.finish().with(filter_fn(is_fit)).init(),
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Level, enabled};
    use tracing_subscriber::{EnvFilter, layer::SubscriberExt as _};

    #[test]
    fn what_s3_refuses_its_callers_is_no_error_of_the_platform() {
        let usual = EnvFilter::builder().parse(super::USUAL).unwrap();
        let log = tracing_subscriber::registry().with(usual);
        tracing::subscriber::with_default(log, || {
            assert!(!enabled!(target: "s3s::ops", Level::ERROR));
            assert!(!enabled!(target: "s3s::service", Level::ERROR));
            assert!(enabled!(target: "towpath_provisioners::s3", Level::ERROR));
        });
    }
}
