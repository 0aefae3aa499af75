//! The certificates by which a cluster's API server is known.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use kernel::Problem;
use rustls::{
    RootCertStore,
    pki_types::{
        CertificateDer,
        pem::{PemObject as _, SectionKind},
    },
};

/// What is read at the most: some dozens of certificates.
const LONGEST: usize = 256 * 1024;

/// The certificates in `given`, which stands at `place`, as a kubeconfig has them: PEM (RFC 7468), in base64.
/// Whatever stands between them is left out, so that the same certificates are the same text.
///
/// # Errors
/// Where it is neither PEM nor that in base64, where one of them is no X.509 certificate, and where there is
/// something else beside them: a private key is nobody's to see. What was given is not repeated.
pub fn authority(given: &str, place: &str) -> Result<String, Problem> {
    let wrong = |message: String, remedy: &str| {
        Problem::new("cluster/authority", place, message).remedy(remedy)
    };
    if given.len() > LONGEST {
        let message = format!("it is longer than {LONGEST} bytes");
        return Err(wrong(message, "give the authority's certificates alone"));
    }
    let is_pem = |text: &[u8]| begins(text).next().is_some();
    let pem = if is_pem(given.as_bytes()) {
        given.as_bytes().to_vec()
    } else {
        let text: String = given.split_ascii_whitespace().collect();
        let decoded = STANDARD.decode(text).ok().filter(|bytes| is_pem(bytes));
        decoded.ok_or_else(|| {
            wrong(
                "it is neither PEM nor PEM in base64".into(),
                "give it as it stands in ca.crt, or as `certificate-authority-data` of a kubeconfig; \
                 `openssl x509 -inform der` makes PEM of DER",
            )
        })?
    };
    let beside = || {
        wrong(
            "it holds more than certificates".into(),
            "give the certificates alone; a private key that was sent here is to be replaced",
        )
    };
    let mut kept = String::new();
    let mut number = 0;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&pem) {
        let (kind, der) = section.map_err(|error| {
            wrong(
                format!("it is no PEM: {error}"),
                "give it whole, from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
            )
        })?;
        if kind != SectionKind::Certificate {
            return Err(beside());
        }
        number += 1;
        let certificate = CertificateDer::from(der);
        kept.push_str(&encoded(&certificate));
        RootCertStore::empty().add(certificate).map_err(|error| {
            wrong(
                format!("certificate {number} in it is no X.509 certificate: {error}"),
                "look at it with `openssl x509 -text`, and give that of the cluster's authority",
            )
        })?;
    }
    // Sections of kinds that it does not know are passed over by whoever reads PEM: a key under lock is one.
    if begins(&pem).count() != number {
        return Err(beside());
    }
    Ok(STANDARD.encode(kept))
}

/// Where sections begin.
fn begins(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    pem.windows(BEGIN.len()).filter(|part| *part == BEGIN)
}

/// A certificate in PEM, in lines as long as RFC 7468 says.
fn encoded(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        lines.join("\n")
    )
}
