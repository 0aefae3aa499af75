//! `towpath tool`

use clap::Subcommand;
use client::every;
use jiff::Timestamp;
use serde_json::json;
use teams::{
    api::ToolView,
    model::{
        Authentication, Authorization, Automation, Finding, KeptIn, ToolCredential, ToolOwner,
    },
};

use crate::{
    cli::Confirm,
    context::Context,
    failure::Result,
    render::{quantity, table},
};

/// See which tools teams use, who administers each, and how much works without tickets
///
/// A tool is described in a document of kind Tool (`towpath apply -f`): operators decide which tools there are, and
/// the team that administers a tool describes it.
#[derive(Debug, Subcommand)]
#[command(
    after_long_help = "Examples:\n  towpath apply -f tools.yaml\n  towpath tool list\n  towpath tool list --found\n  towpath tool show github -o yaml\n  towpath tool delete old-ci --confirm old-ci"
)]
pub(crate) enum Tool {
    /// List the tools, each with what is found about it
    List {
        /// Only those about which something is found
        #[arg(long)]
        found: bool,
    },
    /// Show one: its credentials, and what is found, with how to fix it
    Show {
        /// The tool
        name: String,
    },
    /// Remove one from the register: the tool stays as it is, and nobody is reminded of its credentials
    Delete {
        /// The tool
        name: String,
        #[command(flatten)]
        confirm: Confirm,
    },
}

impl Tool {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let client = context.client()?;
        match self {
            Self::List { found } => {
                let mut all = every(async |page| client.tools(&page).await).await?;
                all.retain(|tool| !found || !tool.findings.is_empty());
                let documents = all.iter().map(ToolView::document);
                let documents: Vec<_> = documents.collect::<kernel::Result<_>>()?;
                context.answer(&json!({ "items": documents }), || list(&all, found))
            }
            Self::Show { name } => {
                let tool = client.tool(&name).await?;
                context.answer(&tool.document()?, || one(&tool))
            }
            Self::Delete { name, confirm } => {
                confirm.check(&name, &format!("tool {name}"))?;
                client.delete_tool(&name).await?;
                context.answer(&json!({ "removal": "done" }), || {
                    format!("tool {name} is in the register no longer: it stays as it is")
                })
            }
        }
    }
}

fn list(all: &[ToolView], found: bool) -> String {
    let row = |view: &ToolView| {
        let spec = &view.tool.spec;
        [
            view.tool.meta.name.clone(),
            owner(&spec.owner),
            login(spec.authentication).into(),
            access(&spec.authorization),
            if spec.api { "yes" } else { "no" }.into(),
            automated(spec.automation()).into(),
            rules(&view.findings),
        ]
    };
    let head = [
        "name",
        "owner",
        "login",
        "access",
        "api",
        "automated",
        "found",
    ];
    let nothing = if found {
        "Nothing is found about any tool."
    } else {
        "There are no tools in the register."
    };
    table::table(head, all.iter().map(row).collect(), nothing)
}

fn one(view: &ToolView) -> String {
    let spec = &view.tool.spec;
    let now = Timestamp::now();
    let mut text = list(std::slice::from_ref(view), false);
    for line in [&spec.title, &spec.description, &spec.url] {
        if !line.is_empty() {
            text += &format!("\n{}", crate::render::control::shown(line));
        }
    }
    let rows = spec.credentials.iter().map(|(name, credential)| {
        [
            name.to_string(),
            credential.kind.word().into(),
            credential.owner.to_string(),
            credential.person.clone().unwrap_or_default(),
            credential.scope.clone(),
            kept(credential),
            ends(credential, now),
        ]
    });
    let head = [
        "credential",
        "kind",
        "owner",
        "person",
        "scope",
        "kept in",
        "expires",
    ];
    text += &format!(
        "\n\n{}",
        table::table(head, rows.collect(), "No credential.")
    );
    let rows = view.findings.iter().map(|finding| {
        let about = finding.credential.as_ref();
        [
            finding.rule.clone(),
            about.map(ToString::to_string).unwrap_or_default(),
            finding.message.clone(),
            finding.remedy.clone(),
        ]
    });
    let head = ["found", "credential", "what", "do"];
    text + &format!(
        "\n\n{}",
        table::table(head, rows.collect(), "Nothing is found.")
    )
}

fn owner(owner: &ToolOwner) -> String {
    match owner {
        ToolOwner::Team(team) => team.to_string(),
        ToolOwner::Group(group) => format!("{group} (group)"),
    }
}

fn login(authentication: Authentication) -> &'static str {
    match authentication {
        Authentication::Oidc => "oidc",
        Authentication::Saml => "saml",
        Authentication::Ldap => "ldap",
        Authentication::Password => "password",
        Authentication::None => "none",
    }
}

fn access(authorization: &Authorization) -> String {
    match authorization {
        Authorization::Claims => "claims".into(),
        Authorization::Integration(name) => format!("integration {name}"),
        Authorization::Manual => "manual".into(),
    }
}

fn automated(automation: Automation) -> &'static str {
    match automation {
        Automation::None => "no",
        Automation::Part => "in part",
        Automation::Full => "yes",
    }
}

/// What is found, each rule once.
fn rules(findings: &[Finding]) -> String {
    let mut rules: Vec<&str> = Vec::new();
    for finding in findings {
        if !rules.contains(&finding.rule.as_str()) {
            rules.push(&finding.rule);
        }
    }
    rules.join(" ")
}

fn kept(credential: &ToolCredential) -> String {
    match &credential.kept {
        Some(KeptIn::Secret(name)) => format!("secret {name}"),
        Some(KeptIn::Integration(name)) => format!("integration {name}"),
        None => String::new(),
    }
}

fn ends(credential: &ToolCredential, now: Timestamp) -> String {
    let expires = credential.expires.map(|at| quantity::end(at, now));
    expires.unwrap_or_default()
}
