//! Hashing passwords with memory that does not stay.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::{
        CustomizedPasswordHasher, Error, Result,
        phc::{Output, ParamsString, PasswordHash, Salt},
    },
};

/// Allocations of this size go back to the system when they are freed: glibc keeps what is smaller (`M_MMAP_THRESHOLD`
/// in mallopt(3), which grows up to 32 MiB) for the thread that had it, and passwords are hashed by many threads, one
/// after the other.
const RETURNED: usize = 33 << 20;

/// Argon2id, with the parameters that OWASP names. What is not used of its allocation is not touched, and so takes no
/// memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hasher;

impl CustomizedPasswordHasher<PasswordHash> for Hasher {
    type Params = Params;

    fn hash_password_customized(
        &self,
        password: &[u8],
        salt: &[u8],
        algorithm: Option<&str>,
        version: Option<u32>,
        params: Params,
    ) -> Result<PasswordHash> {
        let algorithm = algorithm.map(Algorithm::try_from).transpose()?;
        let algorithm = algorithm.unwrap_or_default();
        let version = version.map(Version::try_from).transpose()?;
        let version = version.unwrap_or_default();
        let salt = Salt::new(salt)?;
        let mut memory = Vec::with_capacity(RETURNED / Block::SIZE);
        memory.resize(params.block_count(), Block::new());
        let mut room = [0; Output::MAX_LENGTH];
        let length = params.output_len().unwrap_or(Params::DEFAULT_OUTPUT_LEN);
        let out = room.get_mut(..length).ok_or(Error::OutputSize)?;
        Argon2::new(algorithm, version, params.clone()).hash_password_into_with_memory(
            password,
            &salt,
            out,
            &mut memory[..],
        )?;
        Ok(PasswordHash {
            algorithm: algorithm.ident(),
            version: Some(version.into()),
            params: ParamsString::try_from(&params)?,
            salt: Some(salt),
            hash: Some(Output::new(out)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};

    use super::*;

    const PASSWORD: &[u8] = b"correct horse battery";
    const SALT: &[u8] = &[7; 16];

    fn hashed() -> PasswordHash {
        Hasher
            .hash_password_with_params(PASSWORD, SALT, Params::default())
            .unwrap()
    }

    #[test]
    fn it_is_argon2_as_others_write_it() {
        let theirs: PasswordHash = Argon2::default()
            .hash_password_with_salt(PASSWORD, SALT)
            .unwrap();
        assert_eq!(hashed().to_string(), theirs.to_string());
        assert!(Hasher.verify_password(PASSWORD, &theirs).is_ok());
        assert!(Hasher.verify_password(b"another", &theirs).is_err());
    }

    #[test]
    fn what_many_threads_hash_leaves_no_memory_behind() {
        hashed();
        let before = resident();
        for _ in 0..4 {
            let threads: Vec<_> = (0..8).map(|_| std::thread::spawn(hashed)).collect();
            for thread in threads {
                thread.join().unwrap();
            }
        }
        let kept = resident().saturating_sub(before);
        assert!(kept < 16 << 20, "{} MiB stay", kept >> 20);
    }

    /// Bytes of memory that this process has, beside its files.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("RssAnon:"));
        let kibibytes = line.unwrap().split_whitespace().nth(1).unwrap();
        kibibytes.parse::<usize>().unwrap() << 10
    }
}
