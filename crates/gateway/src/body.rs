//! Bodies on their way through: limits for what clients send, and the return of a backend's
//! connection to the pool when its answer has been read to the end.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::pool::Lease;

/// Why a request's body ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the request's body is larger than allowed")]
    TooLarge,
    #[error("the request's body paused for too long")]
    Stalled,
    #[error("the client went away within its request's body")]
    Gone,
}

/// What a client sends, within limits.
pub(crate) enum RequestBody {
    Empty,
    Stream(Box<Upload>),
}

pub(crate) struct Upload {
    inner: Incoming,
    left: u64,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    sent: Arc<AtomicU64>,
}

impl RequestBody {
    pub(crate) fn new(inner: Incoming, most: u64, pause: Duration) -> Self {
        if inner.is_end_stream() {
            return Self::Empty;
        }
        Self::Stream(Box::new(Upload {
            inner,
            left: most,
            pause,
            timer: None,
            sent: Arc::default(),
        }))
    }

    /// Counts the frames that went to the backend: whether an upload still moves. `None`: no body.
    pub(crate) fn progress(&self) -> Option<Arc<AtomicU64>> {
        match self {
            Self::Empty => None,
            Self::Stream(upload) => Some(upload.sent.clone()),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Stream(upload) => upload.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Stream(upload) => upload.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Stream(upload) => upload.inner.size_hint(),
        }
    }
}

impl Upload {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
            // The timer exists only while the client is slow.
            let pause = self.pause;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
            ready!(timer.as_mut().poll(cx));
            return Poll::Ready(Some(Err(Cut::Stalled)));
        };
        if let Some(timer) = &mut self.timer {
            timer.as_mut().reset(Instant::now() + self.pause);
        }
        Poll::Ready(match frame {
            None => None,
            Some(Err(error)) => {
                tracing::debug!(%error, "a request's body broke off");
                Some(Err(Cut::Gone))
            }
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Buf::remaining) as u64;
                match self.left.checked_sub(bytes) {
                    None => Some(Err(Cut::TooLarge)),
                    Some(left) => {
                        self.left = left;
                        self.sent.fetch_add(1, Ordering::Relaxed);
                        Some(Ok(frame))
                    }
                }
            }
        })
    }
}

/// What a client gets: a backend's answer, or the gateway's own.
pub(crate) enum AnswerBody {
    Whole(Option<Bytes>),
    Stream {
        inner: Incoming,
        lease: Option<Lease>,
    },
}

impl AnswerBody {
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    /// The connection returns to the pool at the body's end, and closes if nobody reads that far.
    pub(crate) fn stream(inner: Incoming, lease: Lease) -> Self {
        if inner.is_end_stream() {
            lease.give_back();
            return Self::Whole(None);
        }
        Self::Stream {
            inner,
            lease: Some(lease),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Self::Stream { inner, lease } => {
                let frame = ready!(Pin::new(&mut *inner).poll_frame(cx));
                let ended = frame.is_none() || inner.is_end_stream();
                if ended && let Some(lease) = lease.take() {
                    lease.give_back();
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream { inner, .. } => inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream { inner, .. } => inner.size_hint(),
        }
    }
}
