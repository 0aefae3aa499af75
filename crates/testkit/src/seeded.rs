//! What is drawn at random, and can be drawn again.

use std::env;

use rand::{SeedableRng as _, rngs::StdRng};

/// The variable that says from what to draw.
const SEED: &str = "TOWPATH_TEST_SEED";

/// Draws from `TOWPATH_TEST_SEED`, or from another seed each time. Says which: where the test fails, the same is
/// drawn again with it.
///
/// # Panics
/// Where the variable is set, and not to a number.
pub fn seeded() -> StdRng {
    let seed = env::var(SEED).map_or_else(
        |_| rand::random(),
        |text| {
            text.parse::<u64>()
                .unwrap_or_else(|error| panic!("{SEED} is `{text}`, not a number: {error}"))
        },
    );
    #[expect(clippy::print_stdout, reason = "people read it in the test's output")]
    {
        println!("{SEED}={seed}");
    }
    StdRng::seed_from_u64(seed)
}
