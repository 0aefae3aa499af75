//! The shim alone, for the tests of the process engine. The `towpath` program carries its own.

fn main() -> std::process::ExitCode {
    towpath_engines::process::shim::main()
}
