//! `towpath down`

use clap::Args;

use crate::{
    background,
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
};

/// Stop the platform on this machine; workloads go on
///
/// Workloads, and servers that the platform found, go on running; `towpath up` or `towpath demo` with the same
/// options finds them again. To remove workloads as well, delete their environment first.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath down\n  towpath env delete dev --with-data && towpath down"
)]
pub(crate) struct Down {}

impl Down {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let data = context.data()?;
        if !background::stop(&data).await? {
            return Err(Failure::new(
                Exit::NotFound,
                format!("no platform of {} runs on this machine", data.display()),
            )
            .remedy("name its data directory with --data"));
        }
        context.answer(&serde_json::json!({ "platform": "stopped" }), || {
            "the platform is stopped; workloads go on: `towpath up` with the same options finds them again, and \
             their addresses answer from then on"
                .into()
        })
    }
}
