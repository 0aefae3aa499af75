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

/// What is written where `RUST_LOG` says nothing. `s3s::ops` calls each request that is not signed as it
/// should be an error: of its caller, who is answered so.
const USUAL: &str = "info,sqlx=warn,hyper=warn,lapin=warn,s3s::ops=off";

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
    use tracing_subscriber::EnvFilter;

    #[test]
    fn callers_of_s3_that_sign_wrongly_are_no_errors_of_the_platform() {
        let usual = EnvFilter::builder().parse(super::USUAL).unwrap();
        assert!(usual.to_string().contains("s3s::ops=off"), "{usual}");
    }
}
