//! A connection whose other end has stopped reading is given up.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// A stream on which no write may be held up for longer than a limit.
///
/// What is sent waits for the client to read: nothing is buffered for one that does not, but its
/// connection, and what it holds, would stay for as long as the client likes. Whoever follows events
/// resumes where it was cut off, by `Last-Event-ID`.
pub(crate) struct Patient<S> {
    stream: S,
    limit: Duration,
    /// Runs while a write is held up.
    held_up: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            held_up: None,
        }
    }

    /// Passes on what a write has come to, unless it is held up for too long.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.held_up = None;
            return written;
        }
        let limit = self.limit;
        let held_up = self.held_up.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(held_up.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client does not read what it is sent",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// Half of it is more than a busy machine is late by.
    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test]
    async fn who_does_not_read_is_given_up() {
        let (ours, _theirs) = duplex(64);
        let mut ours = Patient::new(ours, LIMIT);
        ours.write_all(&[0; 64]).await.expect("there is room");
        let error = ours.write_all(&[0; 64]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn who_reads_slowly_is_not() {
        let (ours, mut theirs) = duplex(64);
        let mut ours = Patient::new(ours, LIMIT);
        let writing = tokio::spawn(async move { ours.write_all(&[1; 64 * 4]).await });
        for _ in 0..4 {
            // Longer than the limit in all, shorter each time.
            sleep(LIMIT / 2).await;
            theirs.read_exact(&mut [0; 64]).await.expect("it is sent");
        }
        writing.await.expect("it ends").expect("all is written");
    }
}
