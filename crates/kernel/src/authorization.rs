//! May this caller do this with that? Every operation asks; what answers is policy.
//!
//! A domain names its [`Action`]s, asks its [`Guard`], and knows nothing of the rules. Whatever goes
//! wrong on the way to an answer allows nothing; it is no refusal either, and told as what it is.

use std::{
    cell::Cell,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Caller, CallerKind, Change, Error, Key, Means, NewEvent, Outcome, Problem, Reason, Result,
    Store, Tallies,
};

/// What can be asked of the platform, as a stable word that rules name: `deployment.create`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Action {
    word: &'static str,
    sees: bool,
}

impl Action {
    /// To see that a thing is there, and how it is. Refused, it is as if there were no such thing.
    pub const fn see(word: &'static str) -> Self {
        Self { word, sees: true }
    }

    /// To do something. Refusals are told, and kept.
    pub const fn act(word: &'static str) -> Self {
        Self { word, sees: false }
    }

    /// The word.
    pub const fn word(self) -> &'static str {
        self.word
    }

    /// Whether it is to see, and nothing more.
    pub const fn only_sees(self) -> bool {
        self.sees
    }
}

/// Where a thing is, as far as rules may care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Surroundings<'a> {
    /// The environment's name.
    pub name: &'a str,
    /// Its role.
    pub role: &'a str,
    /// Whether that role is protected.
    pub protected: bool,
}

/// What the action is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Target<'a> {
    /// The resource's kind: `Workload`.
    pub kind: &'a str,
    /// What its name is unique in; empty for the whole platform.
    pub scope: &'a str,
    /// Its name; empty where all of a kind are meant.
    pub name: &'a str,
    /// The team that it belongs to; empty: the platform's own.
    pub team: &'a str,
    /// The environment that it is, or is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<Surroundings<'a>>,
}

impl Target<'_> {
    fn key(&self) -> Key {
        Key {
            kind: self.kind.into(),
            scope: kept(self.scope),
            name: kept(self.name),
        }
    }
}

/// What is kept of what somebody wrote in a path: no name perhaps, but long, or of what no store takes.
fn kept(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().take(LONGEST_NAME).map(plain).collect()
}

/// Of a name that need not be anybody's, this much is kept.
const LONGEST_NAME: usize = 128;

/// What policy says, and why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Whether the caller may.
    pub allowed: bool,
    /// Why not, each with its rule and remedy; empty where it is allowed.
    pub reasons: Vec<Problem>,
    /// Whether it could not be decided: nothing is allowed, and nobody refused.
    pub undecided: bool,
}

impl Ruling {
    /// What was decided; an error where nothing was.
    fn decided(self) -> Result<Self> {
        if !self.undecided {
            return Ok(self);
        }
        let mut error = undecided();
        if let Some(why) = self.reasons.first() {
            error.message.clone_from(&why.message);
        }
        error.problems = self.reasons;
        Err(error)
    }
}

fn undecided() -> Error {
    Error::unavailable("policy could not decide whether you may").remedy(
        "try again; if it stays so, have a platform engineer mend the policy that the platform's log names",
    )
}

tokio::task_local! {
    /// Whether something that was asked for the answer in hand could not be decided.
    static UNDECIDED: Cell<bool>;
}

/// Does `work`, which answers somebody. With it, the error to answer instead where something of it could not be
/// decided: it may have taken for refused what is not.
pub(crate) async fn noting<T>(work: impl Future<Output = T>) -> (T, Option<Error>) {
    let work = async {
        let done = work.await;
        (done, UNDECIDED.with(Cell::get).then(undecided))
    };
    UNDECIDED.scope(Cell::new(false), work).await
}

/// The port to policy. Called for every operation, and for every item of a list: it has to be fast, and
/// does no I/O.
pub trait Authorizer: Send + Sync + 'static {
    /// Whether `caller` may do `action` with `target`. What cannot be decided is not allowed, and says so.
    fn decide(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Ruling;

    /// The source of the rules, by name: everybody may read them.
    fn sources(&self) -> Vec<(String, String)>;
}

/// Which teams there are, and since when. A team that bears the name of a former one has none of its past.
#[async_trait]
pub trait Beginnings: Send + Sync + 'static {
    /// When the present team of this name was made; none where that is not known.
    fn of(&self, team: &str) -> Option<Timestamp>;

    /// Whether there is a team of this name; one that is leaving is still there.
    async fn is_there(&self, team: &str) -> Result<bool>;
}

/// Asks policy for a domain, and keeps what it refuses.
#[derive(Clone)]
pub struct Guard {
    store: Store,
    authorizer: Arc<dyn Authorizer>,
    beginnings: Option<Arc<dyn Beginnings>>,
    recent: Arc<Mutex<Recent>>,
    /// What was refused, with the event of the last time.
    refusals: Arc<Tallies<Refused, NewEvent>>,
}

/// What counts as the same refusal again: who was refused what, with what, for the same reason by the same
/// means.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Refused {
    actor: String,
    means: Means,
    reason: Option<Reason>,
    action: &'static str,
    subject: Key,
    team: String,
}

/// What was decided of looks in the last moment: many who follow the same events, and those who poll,
/// ask the same again and again.
struct Recent {
    since: Instant,
    decided: HashMap<Asked, bool>,
}

/// All that a decision depends on.
#[derive(PartialEq, Eq, Hash)]
struct Asked {
    caller: (String, CallerKind, Option<String>, bool),
    groups: Vec<String>,
    teams: Vec<String>,
    leads: Vec<String>,
    action: Action,
    key: (String, String, String),
    team: String,
    environment: Option<(String, String, bool)>,
}

impl Asked {
    fn new(caller: &Caller, action: Action, target: &Target<'_>) -> Self {
        let (kind, scope, name) = (target.kind, target.scope, target.name);
        Self {
            caller: (
                caller.subject.clone(),
                caller.kind,
                caller.environment.clone(),
                caller.admin,
            ),
            groups: caller.groups.clone(),
            teams: caller.teams.clone(),
            leads: caller.leads.clone(),
            action,
            key: (kind.into(), scope.into(), name.into()),
            team: target.team.into(),
            environment: target
                .environment
                .map(|place| (place.name.into(), place.role.into(), place.protected)),
        }
    }
}

/// To see which teams there are, as those do who are over all of them.
const OVERSEE: Action = Action::see("team.oversee");

/// How long a decision over a look is used again: rules may look at the clock.
const RECENT: Duration = Duration::from_secs(1);

/// Decisions that are kept at the most.
const MOST_RECENT: usize = 4096;

/// What a caller is refused again within this time is counted, and told together.
const QUIET: Duration = Duration::from_mins(10);

/// Refusals of one caller that are each told by itself: further ones within [`QUIET`] are
/// counted together for each action, so that who tries names lengthens the log by no more than this.
const MOST_TOLD: usize = 100;

impl Guard {
    /// The type of the event that a refusal is kept as.
    pub const REFUSED: &str = "dev.towpath.authorization.refused";

    /// A guard that asks `authorizer`.
    pub fn new(store: Store, authorizer: Arc<dyn Authorizer>) -> Self {
        let recent = Recent {
            since: Instant::now(),
            decided: HashMap::new(),
        };
        Self {
            store,
            authorizer,
            beginnings: None,
            recent: Arc::new(Mutex::new(recent)),
            refusals: Arc::new(Tallies::new(QUIET)),
        }
    }

    /// Tells what was refused again and is only counted yet, when its time comes, until `stop`; then the
    /// rest. One task of each replica does so, for all clones of its guard.
    pub async fn tell_refusals(&self, stop: CancellationToken) {
        let tell = |_, count, event| tell(self.store.clone(), count, event);
        self.refusals.keep(stop, tell).await;
    }

    /// A guard that shows nobody what happened to a team before it `began`, operators aside.
    #[must_use]
    pub fn since(self, began: Arc<dyn Beginnings>) -> Self {
        Self {
            beginnings: Some(began),
            ..self
        }
    }

    /// When the present team of this name was made, where that is known: what happened before is not its own.
    pub fn began(&self, team: &str) -> Option<Timestamp> {
        self.beginnings.as_ref().and_then(|all| all.of(team))
    }

    /// Refuses what is asked of a team that is not there. Whoever is not in a team, and does not oversee all,
    /// is told the same of one that is. The platform's own (`team` is empty) is no team's.
    pub async fn expect_team(&self, caller: &Caller, team: &str) -> Result<()> {
        let Some(known) = self.beginnings.as_ref().filter(|_| !team.is_empty()) else {
            return Ok(());
        };
        let of_team = Target {
            kind: "Team",
            name: team,
            ..Target::default()
        };
        let is_of_it = caller.teams.iter().any(|one| one == team);
        if caller.kind == CallerKind::System || is_of_it {
            return Ok(());
        }
        if self.allows(caller, OVERSEE, &of_team) && known.is_there(team).await? {
            return Ok(());
        }
        let missing = Error::not_found(of_team.key().called());
        Err(missing.remedy("`towpath team list` lists those that do"))
    }

    /// The source of the rules, by name.
    pub fn sources(&self) -> Vec<(String, String)> {
        self.authorizer.sources()
    }

    /// Whether `caller` may, and nothing more. What could not be decided is not allowed: where a request is
    /// answered, the answer says so. Whoever goes by it elsewhere asks [`Guard::decides`].
    pub fn allows(&self, caller: &Caller, action: Action, target: &Target<'_>) -> bool {
        self.decides(caller, action, target).unwrap_or(false)
    }

    /// Whether `caller` may; an error where that could not be decided.
    pub fn decides(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Result<bool> {
        if !reaches(caller, target) {
            return Ok(false);
        }
        if !action.only_sees() {
            return Ok(self.ask(caller, action, target).decided()?.allowed);
        }
        let asked = Asked::new(caller, action, target);
        if let Some(decided) = self.recent(|recent| recent.decided.get(&asked).copied()) {
            return Ok(decided);
        }
        let allowed = self.ask(caller, action, target).decided()?.allowed;
        self.recent(|recent| recent.decided.insert(asked, allowed));
        Ok(allowed)
    }

    /// What would be said to `caller`, and why: for whoever asks beforehand. Nothing is kept, since nothing was
    /// tried.
    pub fn foretell(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Ruling {
        let mut ruling = self.ask(caller, action, target);
        ruling.allowed &= reaches(caller, target);
        ruling
    }

    fn recent<T>(&self, use_it: impl FnOnce(&mut Recent) -> T) -> T {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.since.elapsed() > RECENT || recent.decided.len() >= MOST_RECENT {
            recent.since = Instant::now();
            recent.decided.clear();
        }
        use_it(&mut recent)
    }

    /// Refuses what `caller` may not do. The refusal of more than a look is kept as an event before it
    /// is told: one that cannot be kept is an error of its own. The same again within ten minutes is
    /// counted, and kept with the number. What could not be decided is an error, and no refusal.
    pub async fn require(
        &self,
        caller: &Caller,
        action: Action,
        target: &Target<'_>,
    ) -> Result<()> {
        let ruling = self.ask(caller, action, target).decided()?;
        if ruling.allowed && reaches(caller, target) {
            return Ok(());
        }
        if !action.only_sees() {
            self.keep(caller, action, target, &ruling).await?;
        }
        let asked = match target.name {
            "" => String::new(),
            _ => format!(" with {}", target.key().called()),
        };
        let why = ruling.reasons.first();
        let mut error = Error::forbidden(format!(
            "you may not do `{}`{asked}: {}",
            action.word(),
            why.map_or("no rule allows it", |why| &why.message)
        ));
        error.remedy = why.and_then(|why| why.remedy.clone());
        error.problems = ruling.reasons;
        Err(error)
    }

    fn ask(&self, caller: &Caller, action: Action, target: &Target<'_>) -> Ruling {
        if caller.kind == CallerKind::System {
            // The platform's own work follows from what somebody was allowed before.
            return Ruling {
                allowed: true,
                ..Ruling::default()
            };
        }
        let ruling = self.authorizer.decide(caller, action, target);
        if ruling.undecided {
            // Outside a request nobody waits for an answer.
            let _ = UNDECIDED.try_with(|noted| noted.set(true));
        }
        ruling
    }

    async fn keep(
        &self,
        caller: &Caller,
        action: Action,
        target: &Target<'_>,
        ruling: &Ruling,
    ) -> Result<()> {
        let event = NewEvent {
            kind: Self::REFUSED.into(),
            subject: target.key(),
            team: kept(target.team),
            cause: caller.cause(),
            outcome: Some(Outcome::Fail),
            data: json!({
                "action": action.word(),
                "resource": Target { name: &target.key().name, ..*target },
                "caller": {
                    "kind": caller.kind,
                    "teams": caller.teams,
                    "environment": caller.environment,
                },
                "reasons": ruling.reasons,
            }),
        };
        let kind = Refused {
            actor: caller.subject.clone(),
            means: caller.means.clone(),
            reason: caller.reason.clone(),
            action: action.word(),
            subject: event.subject.clone(),
            team: event.team.clone(),
        };
        let (kind, event) = self.bounded(kind, event);
        let Some((count, event)) = self.refusals.count(kind.clone(), event) else {
            return Ok(());
        };
        // It goes on where the caller hangs up: what is counted as told is told.
        let (store, refusals) = (self.store.clone(), self.refusals.clone());
        let telling = tokio::spawn(async move {
            let told = tell(store, count, event.clone()).await;
            if told.is_err() {
                refusals.untold(kind, count, event);
            }
            told
        });
        let told = telling.await;
        told.map_err(|error| Error::internal("a refusal could not be kept", error))?
    }

    /// The same, or, of a caller who was refused something with many things lately, that it was refused it
    /// with another.
    fn bounded(&self, kind: Refused, event: NewEvent) -> (Refused, NewEvent) {
        // Those that are counted together bear no means; whoever is refused something has come by some.
        let is_another =
            |one: &Refused| one.actor == kind.actor && one.means != Means::Nothing && *one != kind;
        if self.refusals.kinds(is_another) < MOST_TOLD {
            return (kind, event);
        }
        let none = Target {
            kind: &kind.subject.kind,
            ..Target::default()
        };
        let mut event = NewEvent {
            subject: none.key(),
            team: String::new(),
            ..event
        };
        event.data["resource"] = json!(none);
        let kind = Refused {
            means: Means::Nothing,
            reason: None,
            subject: none.key(),
            team: String::new(),
            ..kind
        };
        (kind, event)
    }
}

/// Keeps a refusal, with how often it was since it was told last.
async fn tell(store: Store, count: u64, mut event: NewEvent) -> Result<()> {
    event.data["count"] = count.into();
    let mut change = Change::new();
    change.event(event);
    store.commit(change).await.map(drop)
}

/// The boundary that no rule opens: what belongs to a team is its members', and the operators'.
fn reaches(caller: &Caller, target: &Target<'_>) -> bool {
    caller.admin || target.team.is_empty() || caller.teams.iter().any(|team| team == target.team)
}
