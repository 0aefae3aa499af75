//! Amounts in Score's notation.

use towpath_delivery::score::quantity::{cpu_millis, file_mode, memory_bytes};

#[test]
fn cpu() {
    for (text, millis) in [
        ("2", Some(2000)),
        ("0.5", Some(500)),
        (".25", Some(250)),
        ("1.2500", Some(1250)),
        ("125m", Some(125)),
        ("0", Some(0)),
        ("0.0001", None),
        ("", None),
        ("m", None),
        ("1.5m", None),
        ("-1", None),
        ("+1", None),
        ("18446744073709551615", None),
    ] {
        assert_eq!(cpu_millis(text), millis, "{text}");
    }
}

#[test]
fn memory() {
    for (text, bytes) in [
        ("1048576", Some(1 << 20)),
        ("1Ki", Some(1024)),
        ("128M", Some(128_000_000)),
        ("1Gi", Some(1 << 30)),
        ("2T", Some(2_000_000_000_000)),
        ("0", None),
        ("01M", None),
        ("1.5Gi", None),
        ("1k", None),
        ("M", None),
        ("", None),
        ("99999999999Ti", None),
    ] {
        assert_eq!(memory_bytes(text), bytes, "{text}");
    }
}

#[test]
fn mode() {
    for (text, mode) in [
        ("0600", Some(0o600)),
        ("755", Some(0o755)),
        ("0000", Some(0)),
        ("0800", None),
        ("1777", None),
        ("60", None),
        ("+60", None),
    ] {
        assert_eq!(file_mode(text), mode, "{text}");
    }
}
