//! Tokens that other issuers have signed: by their keys, and within their times.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header, jwk::Jwk};
use serde_json::{Map, Value};

use super::Identity;
use crate::{jose::provider, refusal::Refusal, settings::SKEW};

/// Algorithms that are taken: those with a public key.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];
/// Keys that are tried at the most with a token that does not name its own.
const TRIED: usize = 32;

/// What another issuer's token has to be.
pub(super) struct Expected<'i> {
    /// The parameter that brings it, for whoever is refused.
    pub parameter: &'static str,
    /// Who has signed it.
    pub issuer: &'i str,
    /// The claims that it has, of `iss`, `sub`, `aud` and `exp`.
    pub claims: &'static [&'static str],
}

/// A token that its issuer has signed, and whose time it is.
pub(super) struct ForeignToken {
    /// Its type, where it says one.
    pub typ: Option<String>,
    pub claims: Map<String, Value>,
}

impl ForeignToken {
    /// Whether it is for this audience, among others.
    pub(super) fn is_for(&self, audience: &str) -> bool {
        match self.claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(all)) => all.iter().any(|one| one == audience),
            _ => false,
        }
    }

    /// The text in this claim.
    pub(super) fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// The time in this claim, in whole seconds since 1970: it may have decimals (RFC 7519, section 2).
    pub(super) fn seconds(&self, claim: &str) -> Option<i64> {
        let time = self.claims.get(claim)?;
        let decimal = time.as_f64().filter(|seconds| seconds.is_finite());
        time.as_i64()
            .or(decimal.map(|seconds| seconds.floor() as i64))
    }
}

impl Identity {
    /// Another issuer's token, its signature and its times checked. Whom it is for is left to whoever asks.
    pub(super) async fn foreign_token(
        &self,
        expected: &Expected<'_>,
        token: &str,
    ) -> Result<ForeignToken, Refusal> {
        provider::install()?;
        let Expected {
            parameter, issuer, ..
        } = expected;
        let forged = || {
            Refusal::grant(format!(
                "the {parameter} is not one that its issuer has signed"
            ))
        };
        let header = decode_header(token).map_err(|_| forged())?;
        if !ALGORITHMS.contains(&header.alg) || header.crit.is_some() {
            return Err(forged());
        }
        let keys = self.foreign_keys(issuer, header.kid.as_deref()).await?;
        let mut validation = Validation::new(header.alg);
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(expected.claims);
        // The audience is for whoever asks, times are our clock's: below.
        validation.validate_aud = false;
        validation.validate_exp = false;
        let may_have_signed = |jwk: &&Jwk| header.kid.is_none() || jwk.common.key_id == header.kid;
        let claims: Map<String, Value> = keys
            .keys
            .iter()
            .filter(may_have_signed)
            .take(TRIED)
            .filter_map(|jwk| DecodingKey::from_jwk(jwk).ok())
            .find_map(|key| decode(token, &key, &validation).ok())
            .ok_or_else(forged)?
            .claims;
        let token = ForeignToken {
            typ: header.typ,
            claims,
        };
        let (now, skew) = (self.clock.now().as_second(), SKEW.as_secs() as i64);
        if token.seconds("exp").is_none_or(|exp| exp <= now - skew) {
            return Err(Refusal::grant(format!("the {parameter} has expired")));
        }
        if ["nbf", "iat"]
            .iter()
            .any(|name| token.seconds(name).is_some_and(|from| from > now + skew))
        {
            return Err(Refusal::grant(format!(
                "the {parameter} is from the future: a clock is wrong"
            )));
        }
        Ok(token)
    }
}
