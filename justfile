# The commands of the house. `just` lists them.

_default:
    @just --list

# Formats everything.
fmt:
    cargo fmt --all

# What the compiler and clippy have to say.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings

# All tests; with --require-all, none may be skipped.
test *arguments:
    scripts/test {{arguments}}

# Licences, advisories and sources of the dependencies.
deny:
    cargo deny --all-features check

# Every benchmark, with the ratios that docs/performance.md reports.
bench:
    eval "$(scripts/servers start)" && cargo bench --workspace --bench '*'

# A platform, the example deployed on it, and its address.
demo:
    cargo run -p towpath -- demo

# Feeds a parser with inputs for `seconds`: score_parse, placeholder.
fuzz target="score_parse" seconds="60":
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# Writes openapi/towpath.json anew from the code.
openapi:
    UPDATE=1 cargo test -p towpath-server --test openapi

# What CI runs.
ci:
    bash .ci/run
