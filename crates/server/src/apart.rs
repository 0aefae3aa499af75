//! A thread of its own for work that comes in floods, so that whoever calls the API shares the processors with it,
//! and not the queue of one thread.

use std::future::Future;

use kernel::{Error, Result};
use tokio::runtime::{Builder, Runtime};
use tokio_util::task::AbortOnDropHandle;

/// Where such work runs. To be dropped after what runs there, and after the store: connections that were opened
/// there live with it.
pub(crate) struct Apart {
    /// Gone only while it is dropped.
    runtime: Option<Runtime>,
}

impl Apart {
    pub(crate) fn start(name: &'static str) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(name)
            .enable_all()
            .build()
            .map_err(|error| Error::internal("a thread could not be started", error))?;
        Ok(Self {
            runtime: Some(runtime),
        })
    }

    /// Runs `work` there. It ends with what is given back, and its panics are those of whoever awaits that.
    pub(crate) fn run(
        &self,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let task = self
            .runtime
            .as_ref()
            .map(|runtime| AbortOnDropHandle::new(runtime.spawn(work)));
        async move {
            if let Some(task) = task
                && let Err(error) = task.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Does not wait, as no task of the platform's may.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn it_runs_on_another_thread_and_panics_here() {
        let apart = Apart::start("apart").unwrap();
        let (tell, told) = oneshot::channel();
        apart
            .run(async move {
                tell.send(thread::current().name().map(str::to_owned))
                    .unwrap();
            })
            .await;
        assert_eq!(told.await.unwrap().as_deref(), Some("apart"));

        let panicked = tokio::spawn(apart.run(async { panic!("a canary") })).await;
        assert!(panicked.unwrap_err().is_panic());
    }

    #[tokio::test]
    async fn it_ends_with_whoever_waits_for_it() {
        let apart = Apart::start("apart").unwrap();
        let (held, gone) = oneshot::channel::<()>();
        let work = apart.run(async move {
            let _held = held;
            std::future::pending().await
        });
        drop(work);
        gone.await.unwrap_err();
    }
}
