//! `towpath team departure`

use clap::Args;
use client::{Client, Departure as Found, DepartureItem, DepartureRotation};

use crate::{
    command::{deploy::Wait, identity::left_behind},
    context::Context,
    exit::Exit,
    failure::{Failure, Result},
    progress,
    render::table::table,
};

const ENDED: &str = "ended";
const ASKED: &str = "asked";
const FAILED: &str = "failed";

/// Show what of a team depends on a person, or rotate what they know
///
/// Lists valid keys and secrets of the team that they have seen, which should be rotated, and what they made, which
/// goes on, webhooks included. With --rotate the platform rotates as much of this as it can: deploy credentials,
/// secrets that it has drawn, and logins of resources; for the rest it names the command to run. What fails is listed
/// with the reason, and does not hold up the rest; run again, the command goes on with what is left, and rotates
/// nothing twice. For the team's leads, before or, better, after somebody leaves.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  towpath team departure payments local:ada\n  towpath team departure payments local:ada --rotate"
)]
pub(crate) struct Departure {
    /// The team
    team: String,
    /// The person, as `towpath team member list` shows them: local:ada, github:583231
    subject: String,
    /// Rotate what they know, as far as the platform can
    #[arg(long)]
    rotate: bool,
    #[command(flatten)]
    wait: Wait,
}

impl Departure {
    pub(crate) async fn run(self, context: &Context) -> Result<()> {
        let Self { team, subject, .. } = &self;
        let client = context.patient_client()?;
        let departure = client.team_departure(team, subject).await?;
        if self.rotate {
            return self.rotate(context, &client, &departure).await;
        }
        // Of their logins nothing is said, which is not that there are none.
        let mut answer = serde_json::json!(departure);
        answer["team"] = team.as_str().into();
        if let Some(answer) = answer.as_object_mut() {
            answer.remove("ends");
        }
        context.answer(&answer, || left_behind(&departure))?;
        self.note_unknown(context, &departure);
        Ok(())
    }

    /// A subject that is misspelt looks like one who leaves nothing behind.
    fn note_unknown(&self, context: &Context, found: &Found) {
        let nothing = found.tools.is_empty()
            && found.seen.is_empty()
            && found.told.is_empty()
            && found.stays.is_empty()
            && found.webhooks.is_empty();
        if nothing {
            let Self { team, subject, .. } = self;
            context.say(&format!(
                "note: nothing is known of `{subject}` here: check the subject (`towpath user list`, \
                 `towpath team member list {team}`)"
            ));
        }
    }

    async fn rotate(&self, context: &Context, client: &Client, before: &Found) -> Result<()> {
        let mut rotated = client.rotate_departure(&self.team, &self.subject).await?;
        let waited = if self.wait.no_wait() {
            Ok(())
        } else {
            self.wait_for_asked(client, before, &mut rotated).await
        };
        // Whatever comes of the waiting, what became of each is said.
        context.answer(&rotated, || text(&rotated))?;
        if rotated.items.is_empty() {
            self.note_unknown(context, before);
        }
        let items = rotated.items.iter();
        let failed = items.filter(|item| item.outcome == FAILED).count();
        if failed > 0 {
            let all = rotated.items.len();
            return Err(Failure::new(
                Exit::Failed,
                format!(
                    "{failed} of {all} things that {} knows were not rotated",
                    self.subject
                ),
            )
            .remedy("give the command again: it goes on with these, and rotates no other twice"));
        }
        waited
    }

    /// Waits until nothing that they know of what was asked for is worth anything any more.
    async fn wait_for_asked(
        &self,
        client: &Client,
        before: &Found,
        rotated: &mut DepartureRotation,
    ) -> Result<()> {
        let items = rotated.items.iter_mut();
        let mut asked: Vec<_> = items
            .filter(|item| item.outcome == ASKED && knows(before, item))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let task = format!("the rotation of what {} knows", self.subject);
        progress::until(&self.wait, &task, async || {
            let now = client.team_departure(&self.team, &self.subject).await?;
            for item in &mut asked {
                if !knows(&now, item) {
                    ENDED.clone_into(&mut item.outcome);
                    item.reason = None;
                }
            }
            let done = asked.iter().all(|item| item.outcome == ENDED);
            Ok(done.then_some(()))
        })
        .await
    }
}

/// Whether they know the present value of it.
fn knows(departure: &Found, item: &DepartureItem) -> bool {
    let told = departure
        .told
        .iter()
        .any(|one| (&one.kind, &one.scope, &one.name) == (&item.kind, &item.scope, &item.name));
    let seen = departure.seen.iter();
    let mut seen = seen.filter(|key| Some(&key.key) == item.key.as_ref());
    told || seen.next().is_some()
}

fn text(rotated: &DepartureRotation) -> String {
    let rows = rotated.items.iter().map(|item| {
        let name = match item.scope.as_str() {
            "" => item.name.clone(),
            scope => format!("{scope}/{}", item.name),
        };
        [
            item.outcome.clone(),
            item.kind.clone(),
            name,
            item.key.clone().unwrap_or_default(),
            item.reason.clone().unwrap_or_default(),
        ]
    });
    let nothing = format!("{} knows nothing that is to be rotated.", rotated.subject);
    let head = ["outcome", "kind", "name", "key", "why"];
    let mut text = table(head, rows.collect(), &nothing);
    let commands: Vec<_> = rotated
        .items
        .iter()
        .flat_map(|item| &item.commands)
        .collect();
    if !commands.is_empty() {
        text.push_str("\n\nTo be done by people:");
        for command in commands {
            text.push_str("\n  ");
            text.push_str(command);
        }
    }
    text
}
