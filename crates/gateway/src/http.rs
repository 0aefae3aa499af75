//! What the gateway itself answers. It names no other host, no backend and no owner, for whoever asks
//! may be a stranger; but a workload that is not let in is told by which namespace.

use ::http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, UPGRADE},
};
use bytes::Bytes;

use crate::{admission::Denied, body::AnswerBody, table::Absence};

/// Why a request was not passed on, or not answered by its backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(&'static str),
    Coding,
    NoRoute(String),
    Denied(Denied),
    Absent(Absence),
    Unreachable,
    Broken,
    Late,
    TooLarge,
    Stalled,
    Loop,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::NoRoute(_) => StatusCode::NOT_FOUND,
            Self::Denied(Denied::Other { .. }) => StatusCode::FORBIDDEN,
            Self::Denied(Denied::Unknown { .. }) | Self::Absent(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unreachable | Self::Broken => StatusCode::BAD_GATEWAY,
            Self::Late => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Stalled => StatusCode::REQUEST_TIMEOUT,
            Self::Loop => StatusCode::LOOP_DETECTED,
        }
    }

    /// One sentence on what is so, and one on what to do.
    fn text(&self) -> String {
        match self {
            Self::Malformed(what) => format!("This request is refused: {what}."),
            Self::Coding => {
                "This request is refused: its Transfer-Encoding is not `chunked`.".into()
            }
            Self::NoRoute(host) => format!(
                "There is no route for host {host} and this path. Look for a spelling mistake, or \
                 list the routes with `towpath get routes`."
            ),
            Self::Denied(denied) => {
                let (detail, remedy) = said(denied);
                format!("{detail}. To mend it: {remedy}.")
            }
            Self::Absent(Absence::Starting) => {
                "This service is starting. Try again in a moment.".into()
            }
            Self::Absent(Absence::Failed) => {
                "This service is not running: it failed to start. Its team finds the reason with \
                 `towpath status`."
                    .into()
            }
            Self::Absent(Absence::Stopped) => "This service is stopped.".into(),
            Self::Unreachable => {
                "This service does not accept connections. Its team finds the reason with \
                 `towpath status` and `towpath logs`."
                    .into()
            }
            Self::Broken => {
                "This service closed the connection without a whole answer. Its team finds the \
                 reason with `towpath logs`."
                    .into()
            }
            Self::Late => "This service did not answer in time.".into(),
            Self::TooLarge => "This request's body is larger than the gateway takes.".into(),
            Self::Stalled => "This request's body stopped arriving.".into(),
            Self::Loop => {
                "This request goes in circles: its route leads back to the gateway.".into()
            }
        }
    }

    /// The answer: a small page for a browser, plain text for others.
    pub(crate) fn answer(&self, page: bool) -> Response<AnswerBody> {
        let status = self.status();
        let text = self.text();
        let (kind, body) = match self {
            // Whoever meets this is a program: it reads what the platform's API says in the same way.
            Self::Denied(denied) => ("application/problem+json", problem(status, denied)),
            _ if page => (
                "text/html; charset=utf-8",
                html(status, &text, self.retry_after().is_some()),
            ),
            _ => ("text/plain; charset=utf-8", format!("{text}\n")),
        };
        let mut response = Response::new(AnswerBody::whole(Bytes::from(body)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        // The rest of such a request's body is not read: the connection cannot serve another.
        if matches!(
            self,
            Self::TooLarge | Self::Stalled | Self::Malformed(_) | Self::Coding
        ) {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn retry_after(&self) -> Option<&'static str> {
        let passes = matches!(
            self,
            Self::Absent(Absence::Starting) | Self::Denied(Denied::Unknown { .. })
        );
        passes.then_some("1")
    }
}

/// What was refused, and how to mend it.
fn said(denied: &Denied) -> (String, String) {
    match denied {
        Denied::Other { from, admission } => {
            let (namespace, team) = (&admission.namespace, &admission.team);
            (
                format!("workloads of `{from}` may not reach namespace `{namespace}`"),
                format!(
                    "have team `{team}` let it in: `fromNamespace: {from}` in `networkPolicies.allowIngress` \
                     of namespace `{namespace}`"
                ),
            )
        }
        Denied::Unknown { admission } => (
            format!(
                "whose workload calls could not be found out, and namespace `{}` does not let in \
                 everybody's",
                admission.namespace
            ),
            "try again over a connection that stays open until the answer is there".into(),
        ),
    }
}

/// A refusal as a problem document (RFC 9457). Nothing in it needs an escape: names are DNS labels.
fn problem(status: StatusCode, denied: &Denied) -> String {
    let (detail, remedy) = said(denied);
    let word = match denied {
        Denied::Other { .. } => "forbidden",
        Denied::Unknown { .. } => "unavailable",
    };
    format!(
        "{{\"type\":\"https://towpath.dev/problems/{word}\",\"title\":\"The caller may not reach \
         this\",\"status\":{},\"detail\":\"{detail}\",\"remedy\":\"{remedy}\"}}\n",
        status.as_u16()
    )
}

/// Whether a client is a browser that shows a page to a person.
pub(crate) fn wants_page(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.contains("text/html"))
}

/// Whether a backend agreed to change protocols.
pub(crate) fn is_switch<B>(response: &Response<B>) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
}

/// Sets the fields by which a message changes protocols.
pub(crate) fn set_upgrade(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// `text` may hold a host that a client sent; [`crate::head::host_name`] let no markup through, and
/// it is escaped all the same.
fn html(status: StatusCode, text: &str, again: bool) -> String {
    let refresh = if again {
        "<meta http-equiv=\"refresh\" content=\"1\">"
    } else {
        ""
    };
    let text = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">{refresh}\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{status}</title>\
         <style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:20vh auto;\
         padding:0 1rem;color-scheme:light dark}}h1{{font-size:1.25rem}}</style></head>\
         <body><h1>{status}</h1><p>{text}</p></body></html>\n"
    )
}
