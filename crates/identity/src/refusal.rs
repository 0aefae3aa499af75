//! Why no token is given: the error codes of OAuth 2.0 and its extensions.

use std::{fmt, time::Duration};

use kernel::{Error, ErrorKind};

/// What sort of refusal, as clients know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalCode {
    /// The request lacks a parameter, or says the same twice (RFC 6749).
    InvalidRequest,
    /// No such client, or not its secret.
    InvalidClient,
    /// A code or refresh token that is not good, or not this client's.
    InvalidGrant,
    /// The client may not use this grant.
    UnauthorizedClient,
    /// There is no such grant.
    UnsupportedGrantType,
    /// There is no such response type.
    UnsupportedResponseType,
    /// A scope that cannot be.
    InvalidScope,
    /// The token would be for somebody whom we do not speak for (RFC 8707).
    InvalidTarget,
    /// The person said no, or may not log in.
    AccessDenied,
    /// Nobody has decided yet (RFC 8628).
    AuthorizationPending,
    /// Asked too often (RFC 8628).
    SlowDown,
    /// The device's code has ended (RFC 8628).
    ExpiredToken,
    /// Nobody is logged in, and no page may be shown (OpenID Connect).
    LoginRequired,
    /// A server that is needed is away.
    TemporarilyUnavailable,
    /// A fault of ours.
    ServerError,
}

impl RefusalCode {
    /// The code as it is sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::AccessDenied => "access_denied",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::LoginRequired => "login_required",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::ServerError => "server_error",
        }
    }
}

/// Why no token is given.
#[derive(Debug)]
pub struct Refusal {
    /// What sort.
    pub code: RefusalCode,
    /// What is wrong and how to mend it: public.
    pub description: String,
    /// How long to wait before the next try.
    pub retry_after: Option<Duration>,
    /// What lies beneath: for the log only.
    pub cause: Option<Error>,
}

impl Refusal {
    /// A refusal that says `description`.
    pub fn new(code: RefusalCode, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            retry_after: None,
            cause: None,
        }
    }

    pub(crate) fn request(description: impl Into<String>) -> Self {
        Self::new(RefusalCode::InvalidRequest, description)
    }

    pub(crate) fn grant(description: impl Into<String>) -> Self {
        Self::new(RefusalCode::InvalidGrant, description)
    }

    /// Too many attempts failed.
    pub(crate) fn wait(what: &str, wait: Duration) -> Self {
        // Rounded up: who waits as long as told is let in.
        let seconds = wait.as_millis().div_ceil(1000).max(1) as u64;
        Self {
            retry_after: Some(Duration::from_secs(seconds)),
            ..Self::new(
                RefusalCode::AccessDenied,
                format!("too many attempts with {what} failed: try again in {seconds} s"),
            )
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let (code, description) = match error.kind {
            ErrorKind::Unavailable => (RefusalCode::TemporarilyUnavailable, error.message.clone()),
            ErrorKind::Conflict => (
                RefusalCode::TemporarilyUnavailable,
                "others do the same at this moment: try again".to_owned(),
            ),
            _ => (
                RefusalCode::ServerError,
                "the platform failed; its log says why".to_owned(),
            ),
        };
        Self {
            cause: Some(error),
            ..Self::new(code, description)
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.description)
    }
}

impl std::error::Error for Refusal {}
