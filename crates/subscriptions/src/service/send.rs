//! One request to a receiver.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, header};
use jiff::Timestamp;
use kernel::{Error, Event, Outbound, Result, Secret, Store, outbound::why_no_url};
use url::Url;
use uuid::Uuid;

use crate::{model::Subscription, sign};

/// The largest event that is sent; far above what we tell of.
const LONGEST: usize = 512 * 1024;
/// How long a secret is still signed with after another was drawn.
const FORMER_FOR: Duration = Duration::from_hours(24);

/// An event as it is sent, made once for all who get it.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) seq: i64,
    pub(crate) id: Uuid,
    pub(crate) kind: String,
    pub(crate) subject: String,
    /// None where it is larger than what is sent.
    body: Option<Bytes>,
}

impl Message {
    pub(crate) fn new(event: &Event) -> Result<Self> {
        let body = serde_json::to_vec(event)
            .map_err(|error| Error::internal("an event could not be serialized", error))?;
        Ok(Self {
            seq: event.seq,
            id: event.entry(),
            kind: event.kind.clone(),
            subject: event.subject.clone(),
            body: (body.len() <= LONGEST).then(|| body.into()),
        })
    }

    /// Bytes of its body.
    pub(crate) fn len(&self) -> usize {
        self.body.as_ref().map_or(0, Bytes::len)
    }
}

/// Why an event was not taken, for people: it names neither address nor content.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    /// When the receiver wants to be asked again.
    pub(crate) retry_after: Option<Duration>,
    /// Whether it will be the same however often it is tried.
    pub(crate) is_final: bool,
}

impl Refusal {
    /// Of an event that was not sent, since policy could not say whether it may be.
    pub(crate) fn undecided() -> Self {
        Self::new(
            "policy could not decide whether this subscription may see the event: have a platform engineer mend the \
             rule that the platform's log names",
        )
    }

    fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            retry_after: None,
            is_final: false,
        }
    }
}

/// What signs, newest first.
pub(crate) struct Keys {
    present: Secret,
    former: Option<(Secret, Timestamp)>,
}

impl Keys {
    /// Those of a subscription that may sign from `now` on.
    pub(crate) async fn read(
        store: &Store,
        uid: Uuid,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Self> {
        let present = store.secret(uid, Subscription::SECRET).await?;
        let present = present
            .ok_or_else(|| Error::internal("a subscription has no secret", uid.to_string()))?;
        let former = match since.and_then(|since| since.checked_add(FORMER_FOR).ok()) {
            Some(until) if until > now => store
                .secret(uid, Subscription::FORMER_SECRET)
                .await?
                .map(|former| (former, until)),
            _ => None,
        };
        let former = former.map(|(former, until)| Ok::<_, Error>((sign::key(&former)?, until)));
        Ok(Self {
            present: sign::key(&present)?,
            former: former.transpose()?,
        })
    }

    fn valid(&self, now: Timestamp) -> Vec<Secret> {
        let former = self.former.iter().filter(|(_, until)| *until > now);
        std::iter::once(&self.present)
            .chain(former.map(|(former, _)| former))
            .cloned()
            .collect()
    }
}

/// Sends `message` once, signed as of `now`. What is not a 2xx is a refusal; redirects are not followed.
pub(crate) async fn post(
    outbound: &Outbound,
    url: &str,
    keys: &Keys,
    message: &Message,
    now: Timestamp,
) -> Result<(), Refusal> {
    let Some(body) = &message.body else {
        return Err(Refusal {
            is_final: true,
            ..Refusal::new(format!(
                "the event is larger than {LONGEST} bytes: read it by its place from the log"
            ))
        });
    };
    let request = Url::parse(url)
        .map_err(|error| {
            let why = why_no_url(error);
            Error::invalid(format!("the address is not a URL: {why}"))
        })
        .and_then(|url| outbound.request(Method::POST, &url))
        .map_err(|error| Refusal::new(error.message))?;
    let (id, timestamp) = (message.id.to_string(), now.as_second());
    let signatures = sign::signatures(&keys.valid(now), &id, timestamp, body);
    let request = request
        .header(
            header::CONTENT_TYPE,
            "application/cloudevents+json; charset=UTF-8",
        )
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signatures)
        .body(body.clone());
    let response = request.send().await.map_err(|error| failed(&error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let retry_after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok())
        .map(Duration::from_secs);
    // What the receiver says beside that is not kept: who may set an address does not get to read what
    // answers there.
    let redirected = if status.is_redirection() {
        " (redirects are not followed)"
    } else {
        ""
    };
    Err(Refusal {
        reason: format!("the receiver answered {}{redirected}", status.as_u16()),
        retry_after,
        is_final: false,
    })
}

fn failed(error: &reqwest::Error) -> Refusal {
    Refusal::new(if error.is_timeout() {
        "the receiver did not answer in time"
    } else if error.is_connect() {
        "the receiver could not be connected to, or is at an address that may not be reached"
    } else {
        "the connection to the receiver broke"
    })
}
