//! From the start of the process until it is ready, and its memory when it has nothing to do:
//! `cargo bench -p towpath --bench start`.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod platform;

use std::time::Duration;

use platform::{Failure, Platform, median};

/// Starts of each sort.
const ROUNDS: usize = 10;
/// How long it has nothing to do before its memory is read.
const IDLE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let (mut first, mut later) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        first.push(Platform::start(data.path(), None).await?.took);
        later.push(Platform::start(data.path(), None).await?.took);
    }
    for (name, times) in [("on no data", &first), ("on its data", &later)] {
        println!(
            "start {name:<11}  median {:>6.1?}  slowest {:>6.1?}   (wanted: under 300 ms)",
            median(times),
            times.iter().max().ok_or("no rounds")?,
        );
    }
    let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let platform = Platform::start(data.path(), None).await?;
    tokio::time::sleep(IDLE).await;
    println!(
        "memory, {} s idle   {:.1} MiB resident   (wanted: under 60)",
        IDLE.as_secs(),
        platform.memory()?
    );
    Ok(())
}
