//! Sealing: opens with its key in its place, and nowhere else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::fs::PermissionsExt;

use kernel::{ErrorKind, Result, Sealer, Secret, sealer::PlatformKey};
use proptest::{collection::vec, prelude::any, prop_assert, prop_assert_eq, proptest};
use uuid::Uuid;

/// As the platform takes its key from a file, without a key management service.
fn from_file(path: &std::path::Path) -> Result<Sealer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let key = runtime.block_on(PlatformKey::from_file(path, None))?;
    Ok(Sealer::new(key))
}

proptest! {
    #[test]
    fn what_is_sealed_opens_in_its_place_only(
        bytes in vec(any::<u8>(), 0..300),
        name in ".{0,20}",
        flip in any::<proptest::sample::Index>(),
        bit in 0..8u8,
    ) {
        let sealer = Sealer::generate().unwrap();
        let (owner, secret) = (Uuid::now_v7(), Secret::new(bytes.clone()));
        let sealed = sealer.seal(owner, &name, &secret).unwrap();
        prop_assert_eq!(&sealer.open(owner, &name, &sealed).unwrap(), &secret);
        prop_assert!(sealer.open(Uuid::now_v7(), &name, &sealed).is_err());
        let elsewhere = format!("{name}x");
        prop_assert!(sealer.open(owner, &elsewhere, &sealed).is_err());
        let other = Sealer::generate().unwrap();
        prop_assert!(other.open(owner, &name, &sealed).is_err());

        let mut altered = sealed.clone();
        altered[flip.index(sealed.len())] ^= 1 << bit;
        prop_assert!(sealer.open(owner, &name, &altered).is_err());
        let cut = &sealed[..flip.index(sealed.len())];
        prop_assert!(sealer.open(owner, &name, cut).is_err());

        let again = sealer.seal(owner, &name, &secret).unwrap();
        prop_assert!(again != sealed, "each has its own key and nonce");
        if bytes.len() >= 8 {
            prop_assert!(!sealed.windows(bytes.len()).any(|window| window == bytes));
        }
    }
}

#[test]
fn nothing_shows_a_secret_or_a_key() {
    let secret = Secret::from("canary");
    let sealer = Sealer::generate().unwrap();
    let shown = format!("{secret:?} {secret} {sealer:?}");
    assert_eq!(shown, "[secret] [secret] Sealer");
    let wrong = sealer.open(Uuid::now_v7(), "n", b"canary").unwrap_err();
    assert!(!wrong.chain().contains("canary"));
}

#[test]
fn the_key_is_made_once_and_kept_private() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("platform.key");
    let made = from_file(&path).unwrap();
    let owner = Uuid::now_v7();
    let sealed = made.seal(owner, "n", &Secret::from("x")).unwrap();
    let again = from_file(&path).unwrap();
    assert_eq!(again.open(owner, "n", &sealed).unwrap(), Secret::from("x"));
    let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o600);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);

    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    let open = from_file(&path).unwrap_err();
    assert_eq!(open.kind, ErrorKind::Forbidden);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    for text in ["", "short", "bm90IDMyIGJ5dGVz"] {
        std::fs::write(&path, text).unwrap();
        let error = from_file(&path).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{text}");
        assert!(error.remedy.is_some());
    }
    let nowhere = from_file(std::path::Path::new("/no/such/platform.key"));
    assert!(nowhere.unwrap_err().message.contains("/no/such"));
}

#[test]
fn drafts_that_are_left_of_a_key_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let beside = |end: &str| directory.path().join(format!("platform.key{end}"));
    let path = beside("");
    from_file(&path).unwrap();
    let id = Uuid::now_v7();
    let of_the_next = beside(&format!(".next.{id}"));
    let linked = beside(&format!(".{id}"));
    for second in [&of_the_next, &linked] {
        std::fs::hard_link(&path, second).unwrap();
    }
    let written = |end: String, age| {
        let file = std::fs::File::create(beside(&end)).unwrap();
        let at = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
        file.set_modified(at).unwrap();
        beside(&end)
    };
    let left = written(format!(".{}", Uuid::now_v7()), 3600);
    let kept = [
        written(format!(".{}", Uuid::now_v7()), 0),
        written(".former-1".into(), 3600),
        written(".before".into(), 3600),
        written(format!(".next.{}", Uuid::now_v7()), 3600),
    ];
    from_file(&path).unwrap();
    for gone in [of_the_next, linked, left] {
        assert!(!gone.exists(), "{}", gone.display());
    }
    for there in kept {
        assert!(there.exists(), "{}", there.display());
    }
    assert!(path.exists());
}

#[test]
fn of_many_that_start_at_once_all_have_one_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("platform.key");
    let owner = Uuid::now_v7();
    let sealed: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let start = || {
            let sealer = from_file(&path).unwrap();
            sealer.seal(owner, "n", &Secret::from("x")).unwrap()
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let sealer = from_file(&path).unwrap();
    for sealed in sealed {
        sealer.open(owner, "n", &sealed).unwrap();
    }
}
