//! Starts the service, and ends it when it is told to, after the requests under way.

// Tests may: a panic is how they fail.
#![warn(clippy::unwrap_used)]

use std::{io::IsTerminal as _, process::ExitCode};

use notes::{App, config::Config};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()),
        )
        // A log that is kept in a file has no use for colours.
        .with_ansi(std::io::stdout().is_terminal())
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    // An error says that another part of the program was first.
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let config = Config::from_env(|name| std::env::var(name).ok())?;
    let listener = TcpListener::bind(config.listen).await?;
    tracing::info!(address = %listener.local_addr()?, version = config.version, "listening");
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let told_to_end = async move {
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        tracing::info!("ending after the requests under way");
    };
    let router = App::start(config)?.router();
    axum::serve(listener, router)
        .with_graceful_shutdown(told_to_end)
        .await?;
    Ok(())
}
