//! `towpath identity authentication-configuration`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use client::Provider;
use serde_json::{Value, json};

use super::print;
use crate::{
    command::unreadable,
    context::{Chosen, Context},
    failure::{Failure, Result},
    logins::CLIENT,
};

/// The groups of a person, each with the source that says so: what another source calls the same is not it.
const GROUPS: &str = "source_groups";

/// Print the configuration with which a Kubernetes API server accepts logins of this platform
///
/// Pass the file to its option --authentication-config. Groups appear as PREFIX SOURCE:GROUP, so that a role binding
/// names `towpath:github:acme/payments`, and does not include people whom another source puts into a group of the
/// same name. No login is needed: all of it is public.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath identity authentication-configuration > authentication.yaml\n  towpath identity authentication-configuration --ca ca.crt --audience towpath-cli --audience dashboard"
)]
pub(crate) struct AuthenticationConfiguration {
    /// A program whose users' ID tokens are accepted. May be given again [default: towpath-cli]
    #[arg(long = "audience", value_name = "CLIENT")]
    audiences: Vec<String>,
    /// The file with the certificates of the platform's authority, in PEM [default: the system's authorities]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What the cluster puts before people's and groups' names, so that they clash with no others
    #[arg(long, value_name = "TEXT", default_value = "towpath:")]
    prefix: String,
    /// The version of the file's format: v1beta1 from Kubernetes 1.30, v1 from 1.34
    #[arg(long, value_name = "VERSION", default_value = "v1beta1")]
    api_version: Version,
}

/// The version of the file's form.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Version {
    /// From Kubernetes 1.30.
    V1beta1,
    /// From Kubernetes 1.34.
    V1,
}

impl AuthenticationConfiguration {
    pub(super) async fn run(self, context: &Context) -> Result<()> {
        let server = match context.chosen()? {
            Chosen::Here => context.local_server()?,
            Chosen::Server(server) | Chosen::Login { server, .. } => server,
        };
        let provider = Provider::discover(&server, CLIENT).await?;
        let issuer = provider.issuer();
        if !issuer.starts_with("https://") {
            context.say(&format!(
                "warning: an API server takes no issuer but an https one, and this is {issuer}: run the \
                 platform with --issuer"
            ));
        }
        print(context, &self.document(issuer)?)
    }

    fn document(&self, issuer: &str) -> Result<Value> {
        let own = [CLIENT.to_owned()];
        let audiences: &[String] = match self.audiences.as_slice() {
            [] => &own,
            named => named,
        };
        let mut known = json!({ "url": issuer, "audiences": audiences });
        if audiences.len() > 1 {
            known["audienceMatchPolicy"] = json!("MatchAny");
        }
        if let Some(file) = &self.ca {
            let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
            if !text.contains("-----BEGIN CERTIFICATE-----") {
                let what = format!("{} holds no certificate", file.display());
                return Err(Failure::usage(what).remedy("name a file in PEM"));
            }
            known["certificateAuthority"] = json!(text);
        }
        let version = match self.api_version {
            Version::V1beta1 => "v1beta1",
            Version::V1 => "v1",
        };
        let prefix = &self.prefix;
        Ok(json!({
            "apiVersion": format!("apiserver.config.k8s.io/{version}"),
            "kind": "AuthenticationConfiguration",
            "jwt": [{
                "issuer": known,
                "claimMappings": {
                    "username": { "claim": "sub", "prefix": prefix },
                    "groups": { "claim": GROUPS, "prefix": prefix },
                },
                "userValidationRules": [{
                    "expression": "!user.username.startsWith('system:') && \
                                   user.groups.all(group, !group.startsWith('system:'))",
                    "message": "names that begin with `system:` are the cluster's own",
                }],
            }],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    #[test]
    fn an_api_server_is_told_all_that_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        let ca = directory.path().join("ca.crt");
        let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        std::fs::write(&ca, certificate).unwrap();
        let wanted = AuthenticationConfiguration {
            audiences: vec!["towpath-cli".into(), "dashboard".into()],
            ca: Some(ca.clone()),
            prefix: "towpath:".into(),
            api_version: Version::V1,
        };
        let written = wanted.document("https://towpath.example.com").unwrap();
        assert_eq!(written["apiVersion"], "apiserver.config.k8s.io/v1");
        let jwt = &written["jwt"][0];
        assert_eq!(
            jwt["issuer"],
            json!({
                "url": "https://towpath.example.com",
                "audiences": ["towpath-cli", "dashboard"],
                "audienceMatchPolicy": "MatchAny",
                "certificateAuthority": certificate,
            })
        );
        let groups = json!({ "claim": "source_groups", "prefix": "towpath:" });
        assert_eq!(jwt["claimMappings"]["groups"], groups);
        std::fs::write(&ca, "no certificate").unwrap();
        assert!(wanted.document("https://towpath.example.com").is_err());
        std::fs::remove_file(&ca).unwrap();
        let failure = wanted.document("https://towpath.example.com").unwrap_err();
        assert_eq!(failure.exit, Exit::NotFound);
    }
}
