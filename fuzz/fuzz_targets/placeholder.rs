//! See [`towpath_fuzz::placeholder`].

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|text: &str| towpath_fuzz::placeholder(text));

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    towpath_fuzz::replay(|bytes| towpath_fuzz::placeholder(&String::from_utf8_lossy(bytes)))
}
