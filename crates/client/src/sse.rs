//! Server-sent events (WHATWG HTML, section 9.2): the parser, and streams that resume.

use std::{collections::VecDeque, marker::PhantomData, time::Duration};

use kernel::Backoff;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::{
    Client, Result,
    request::{Call, broken, protocol},
};

/// The longest message that is taken: a stream that sends more without an end is not ours.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// Silence after which a stream counts as broken: the platform sends a comment more often.
const SILENCE: Duration = Duration::from_mins(1);

/// The waits before a stream is asked for again.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// A message of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The last id that the stream gave: where to resume.
    pub id: Option<String>,
    /// What sort of message; empty: the ordinary one.
    pub event: String,
    /// Its data; lines joined by `\n`.
    pub data: String,
}

/// Takes a stream apart into messages, however it was cut into pieces.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_return: bool,
    begun: bool,
    id: Option<String>,
    event: String,
    data: String,
    has_data: bool,
}

impl Parser {
    /// Takes the next piece; gives the messages that it completes. Fails once a message is longer
    /// than any of ours.
    pub fn push(&mut self, piece: &[u8]) -> Result<Vec<Message>, &'static str> {
        let mut messages = Vec::new();
        for &byte in piece {
            match byte {
                b'\n' if self.after_return => self.after_return = false,
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    messages.extend(self.end_of_line());
                }
                _ => {
                    self.after_return = false;
                    self.line.push(byte);
                    if self.line.len() + self.data.len() > MAX_MESSAGE_BYTES {
                        return Err("a message without an end");
                    }
                }
            }
        }
        Ok(messages)
    }

    fn end_of_line(&mut self) -> Option<Message> {
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let line = match text.strip_prefix('\u{feff}') {
            Some(rest) if !self.begun => rest,
            _ => &text,
        };
        self.begun = true;
        if line.is_empty() {
            return self.end_of_message();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            "event" => value.clone_into(&mut self.event),
            "id" if !value.contains('\0') => {
                self.id = (!value.is_empty()).then(|| value.to_owned());
            }
            // Comments, `retry` (our own back-off is gentler), and what later versions add.
            _ => {}
        }
        None
    }

    fn end_of_message(&mut self) -> Option<Message> {
        let event = std::mem::take(&mut self.event);
        let data = std::mem::take(&mut self.data);
        std::mem::take(&mut self.has_data).then(|| Message {
            id: self.id.clone(),
            event,
            data,
        })
    }
}

/// One connection of a stream.
struct Connection {
    response: Response,
    parser: Parser,
    ready: VecDeque<Message>,
}

impl Connection {
    /// The next message; `None` at the end of the stream.
    async fn next(&mut self, client: &Client) -> Result<Option<Message>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            let piece = match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Ok(piece) => piece.map_err(|e| broken(client, e))?,
                // Silent for longer than the platform ever is: the connection is dead.
                Err(_) => None,
            };
            let Some(piece) = piece else { return Ok(None) };
            let messages = self.parser.push(&piece).map_err(|e| protocol(client, e))?;
            self.ready.extend(messages);
        }
    }
}

/// A stream of server-sent events, each a `T` in JSON.
///
/// The platform's events have ids: their stream goes on after a broken connection where it broke
/// off, for as long as the client is patient ([`Client::patient`]). A log has none: its stream ends.
pub struct Events<T> {
    client: Client,
    /// What it is asked for with, each time.
    request: RequestBuilder,
    connection: Option<Connection>,
    last_id: Option<String>,
    resumes: bool,
    /// How often in a row its connection ended without a message.
    failures: u32,
    item: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Events<T> {
    /// A stream that begins after the id `after` and resumes.
    pub(crate) fn resuming(call: Call<'_>, after: Option<String>) -> Self {
        Self {
            last_id: after,
            resumes: true,
            ..Self::ending(call)
        }
    }

    /// A stream that ends with its connection.
    pub(crate) fn ending(call: Call<'_>) -> Self {
        let (client, request) = call.parts();
        Self {
            client,
            request,
            connection: None,
            last_id: None,
            resumes: false,
            failures: 0,
            item: PhantomData,
        }
    }

    /// The next item; `None` once the platform has ended the stream for good.
    ///
    /// Not to be polled in a loop that drops it again and again: a connection in the making would
    /// never be made. Run it in a task of its own there.
    ///
    /// # Errors
    /// What the call is refused for; [`Error::Protocol`](crate::Error::Protocol) where an item is of no shape that this
    /// version knows. A stream that does not resume also gives what its connection broke off by.
    pub async fn next(&mut self) -> Result<Option<T>> {
        loop {
            let connection = if let Some(connection) = &mut self.connection {
                connection
            } else {
                let response = self.open().await?;
                self.connection.insert(Connection {
                    response,
                    parser: Parser::default(),
                    ready: VecDeque::new(),
                })
            };
            match connection.next(&self.client).await {
                Ok(Some(message)) => {
                    self.failures = 0;
                    self.last_id.clone_from(&message.id);
                    return serde_json::from_str(&message.data)
                        .map(Some)
                        .map_err(|e| protocol(&self.client, e));
                }
                Ok(None) if !self.resumes => return Ok(None),
                Err(error) if !self.resumes || !error.is_transient() => return Err(error),
                Ok(None) | Err(_) => {
                    self.connection = None;
                    self.failures = self.failures.saturating_add(1);
                    // Streams that ended together, as where a platform stops, are not asked for together.
                    tokio::time::sleep(BACKOFF.jittered(self.failures)).await;
                }
            }
        }
    }

    async fn open(&self) -> Result<Response> {
        Call::again(&self.client, &self.request)
            .events(self.last_id.as_deref())
            .send()
            .await
    }
}
