//! See [`towpath_fuzz::score_parse`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| towpath_fuzz::score_parse(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    towpath_fuzz::replay(towpath_fuzz::score_parse)
}
