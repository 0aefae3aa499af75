//! `towpath credential`

use clap::Args;
use serde::Deserialize;
use serde_json::json;

use crate::{
    context::{Chosen, Context},
    exit::Exit,
    failure::{Failure, Result},
};

/// The plugin protocol's variable: what the caller wants, and in which version.
const EXEC_INFO: &str = "KUBERNETES_EXEC_INFO";

/// The version that is answered where nobody asks for one.
const VERSION: &str = "client.authentication.k8s.io/v1";

/// The one before, of the same shape.
const BETA: &str = "client.authentication.k8s.io/v1beta1";

/// Give kubectl a token: its credential plugin
///
/// kubectl calls this command, as `towpath kubeconfig` configures it to. Prints an ExecCredential with the ID token,
/// renewed if it is due. Because that is a secret, it is printed only to kubectl, unless --force is given.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  towpath credential --context acme --force")]
pub(crate) struct Credential {
    /// Print the token although kubectl did not ask for it
    #[arg(long)]
    force: bool,
}

/// The part of the plugin protocol's question that matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecInfo {
    api_version: String,
}

impl Credential {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let version = self.version()?;
        let Chosen::Login {
            session,
            server,
            context: name,
        } = context.chosen()?
        else {
            return Err(Failure::new(
                Exit::Refused,
                "Kubernetes knows people by their logins, and no login is chosen",
            )
            .remedy("name one with --context; `towpath context list` says which there are"));
        };
        let tokens = session.tokens(None).await?;
        let id = tokens.id.ok_or_else(|| {
            Failure::new(Exit::Refused, format!("{server} gave no ID token")).remedy(format!(
                "log in as a person, who has one: `towpath login --context {name}`"
            ))
        })?;
        let credential = json!({
            "apiVersion": version,
            "kind": "ExecCredential",
            "status": { "token": id.token, "expirationTimestamp": id.expires },
        });
        context.print(&credential.to_string())
    }

    /// In which version to answer.
    fn version(&self) -> Result<String> {
        let asked = std::env::var(EXEC_INFO).unwrap_or_default();
        if asked.is_empty() {
            if self.force {
                return Ok(VERSION.into());
            }
            return Err(
                Failure::usage("this prints a token, and no kubectl asks for one")
                    .remedy("`towpath kubeconfig` has kubectl ask; --force prints it all the same"),
            );
        }
        let info: ExecInfo = serde_json::from_str(&asked).map_err(|error| {
            Failure::new(
                Exit::Invalid,
                format!("{EXEC_INFO} cannot be read: {error}"),
            )
        })?;
        if [VERSION, BETA].contains(&info.api_version.as_str()) {
            return Ok(info.api_version);
        }
        Err(Failure::new(
            Exit::Invalid,
            format!(
                "kubectl asks in version `{}`, which this program does not speak",
                info.api_version.escape_debug()
            ),
        )
        .remedy(format!(
            "write the kubeconfig anew with `towpath kubeconfig`: it names {VERSION}"
        )))
    }
}
