//! Definitions, routes, policies, events: what belongs to the platform as a whole.

use delivery::{
    api::{
        ApplyAnswer, ApplyRequest, DefinitionDeleted, DifferenceQuery, ExplainRequest, ListQuery,
        PolicyList, RevisionDifference,
    },
    definition::Explanation,
    model::{Remnant, ResourceDefinition, ResourceDefinitionRevision, Route},
};
use jiff::Timestamp;
use kernel::{
    Event, Page, Resource, SealedBy,
    http::{AccessAnswers, AccessReview, EventPage},
    sealer::GivenKey,
};
use publications::api::{CloudEvent, PublishedEvents};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{Client, Result, sse::Events};

/// Which events to read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Types that begin with this.
    pub type_prefix: Option<String>,
    /// Subjects that are this, or lie below it: `Workload/dev`.
    pub subject: Option<String>,
    /// Of one piece of work.
    pub correlation: Option<Uuid>,
    /// Of this team.
    pub team: Option<String>,
    /// Caused by this one: `local:ada`.
    pub actor: Option<String>,
    /// That happened at this time or later.
    pub since: Option<Timestamp>,
    /// After this place in the log.
    pub after: Option<i64>,
    /// At the most so many; only for a list.
    pub limit: Option<usize>,
}

impl EventQuery {
    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        pairs.extend(self.type_prefix.clone().map(|t| ("type", t)));
        pairs.extend(self.subject.clone().map(|s| ("subject", s)));
        pairs.extend(self.correlation.map(|c| ("correlation", c.to_string())));
        pairs.extend(self.team.clone().map(|team| ("team", team)));
        pairs.extend(self.actor.clone().map(|actor| ("actor", actor)));
        pairs.extend(self.since.map(|since| ("since", since.to_string())));
        pairs
    }
}

/// Whoever calls, as the platform knows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhoAmI {
    /// Who: `local:ada`, `github:583231`, `account:payments/ci`.
    pub subject: String,
    /// What sort of caller: `person`, `service-account`, `local-admin` ...
    pub kind: String,
    /// The teams whose rights they have.
    pub teams: Vec<String>,
    /// Whether they operate the platform.
    pub admin: bool,
    /// All else that the platform says.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

impl Client {
    /// `GET platform/keys`: by which keys secrets are sealed.
    pub async fn keys(&self) -> Result<SealedBy> {
        self.call(Method::GET, &["platform", "keys"]).read().await
    }

    /// `POST platform/rekey`: asks to have every secret sealed by the platform's current key; or, where
    /// `new_key`, `POST platform/rekey/new-key`: by one that is drawn first. Follow it by [`Client::keys`].
    ///
    /// # Errors
    /// With `new_key`, `Invalid` where the platform's key is in its environment, `Conflict` while another change is under
    /// way, and `Unavailable` where the file that holds it cannot be written.
    pub async fn rekey(&self, new_key: bool) -> Result<SealedBy> {
        // A path of its own: a platform that draws no keys would not look at a query, and seal by the old one.
        let path: &[&str] = if new_key {
            &["platform", "rekey", "new-key"]
        } else {
            &["platform", "rekey"]
        };
        self.call(Method::POST, path).read().await
    }

    /// `POST platform/rekey/new-key` with the key that is to be sealed by. A platform that is older takes none, and may
    /// draw its own: the answer's `change` says whether it was taken.
    ///
    /// # Errors
    /// `Invalid` where it is no key, or is or was the platform's already; `Conflict` while another change is under way.
    pub async fn rekey_by(&self, key: &GivenKey) -> Result<SealedBy> {
        self.call(Method::POST, &["platform", "rekey", "new-key"])
            .json(key)
            .read()
            .await
    }

    /// `POST platform/rekey/forget-former`: has the store forget the former key of a change that is done.
    ///
    /// # Errors
    /// `Conflict` while something is still sealed by it.
    pub async fn forget_former_key(&self) -> Result<SealedBy> {
        self.call(Method::POST, &["platform", "rekey", "forget-former"])
            .read()
            .await
    }

    /// `GET whoami`
    pub async fn whoami(&self) -> Result<WhoAmI> {
        self.call(Method::GET, &["whoami"]).read().await
    }

    /// `POST access-reviews`: what the caller may do.
    pub async fn access_review(&self, review: &AccessReview) -> Result<AccessAnswers> {
        self.call(Method::POST, &["access-reviews"])
            .json(review)
            .read()
            .await
    }

    /// `POST apply`: documents of apiVersion `towpath.dev/v1`, together or not at all; what they say is written
    /// at once, and made so in the background.
    ///
    /// # Errors
    /// With all that is wrong with any of the documents in `problems`: `Invalid`, or `Conflict` or `NotFound` where
    /// that is what each is refused for. `TooLarge` also where they are more than are taken at once.
    pub async fn apply(&self, documents: Vec<Value>) -> Result<ApplyAnswer> {
        self.call(Method::POST, &["apply"])
            .json(&ApplyRequest { documents })
            .read()
            .await
    }

    /// `POST apply/plan`: what applying these would do; nothing is written.
    ///
    /// # Errors
    /// As [`Client::apply`].
    pub async fn apply_plan(&self, documents: Vec<Value>) -> Result<ApplyAnswer> {
        self.call(Method::POST, &["apply", "plan"])
            .json(&ApplyRequest { documents })
            .read()
            .await
    }

    /// `POST explain`: which definition meets a resource, and why.
    ///
    /// # Errors
    /// `NotFound` where there is no such environment.
    pub async fn explain(&self, request: &ExplainRequest) -> Result<Explanation> {
        self.call(Method::POST, &["explain"])
            .json(request)
            .read()
            .await
    }

    /// `GET resource-definitions`
    pub async fn definitions(
        &self,
        page: &ListQuery,
    ) -> Result<Page<Resource<ResourceDefinition>>> {
        self.call(Method::GET, &["resource-definitions"])
            .query(page)
            .page()
            .await
    }

    /// `GET resource-definitions/{name}`
    pub async fn definition(&self, name: &str) -> Result<Resource<ResourceDefinition>> {
        self.call(Method::GET, &["resource-definitions", name])
            .resource()
            .await
    }

    /// `GET resource-definitions/{name}/revisions`
    pub async fn definition_revisions(
        &self,
        name: &str,
        page: &ListQuery,
    ) -> Result<Page<Resource<ResourceDefinitionRevision>>> {
        self.call(Method::GET, &["resource-definitions", name, "revisions"])
            .query(page)
            .page()
            .await
    }

    /// `GET resource-definitions/{name}/revisions/{revision}`
    pub async fn definition_revision(
        &self,
        name: &str,
        revision: u64,
    ) -> Result<Resource<ResourceDefinitionRevision>> {
        let revision = revision.to_string();
        let path = ["resource-definitions", name, "revisions", &revision];
        self.call(Method::GET, &path).resource().await
    }

    /// `GET resource-definitions/{name}/difference`: what one revision says otherwise than another.
    ///
    /// # Errors
    /// `Invalid` where there is no revision before the one that is compared.
    pub async fn definition_difference(
        &self,
        name: &str,
        query: &DifferenceQuery,
    ) -> Result<RevisionDifference> {
        self.call(Method::GET, &["resource-definitions", name, "difference"])
            .query(query)
            .read()
            .await
    }

    /// `DELETE resource-definitions/{name}`: takes it out of matching, at once; resources that were made with it
    /// stay as they are. With `revision`, only while it is at that revision.
    pub async fn delete_definition(
        &self,
        name: &str,
        revision: Option<i64>,
    ) -> Result<DefinitionDeleted> {
        self.call(Method::DELETE, &["resource-definitions", name])
            .if_match(revision)
            .read()
            .await
    }

    /// `GET remnants`
    pub async fn remnants(&self, page: &ListQuery) -> Result<Page<Resource<Remnant>>> {
        self.call(Method::GET, &["remnants"])
            .query(page)
            .page()
            .await
    }

    /// `GET remnants/{name}`
    pub async fn remnant(&self, name: &str) -> Result<Resource<Remnant>> {
        self.call(Method::GET, &["remnants", name]).resource().await
    }

    /// `DELETE remnants/{name}`: forgets what somebody has seen to, at once. With `revision`, only while it is
    /// at that revision.
    ///
    /// # Errors
    /// `Conflict` also while its server lists what was left.
    pub async fn delete_remnant(&self, name: &str, revision: Option<i64>) -> Result<()> {
        self.call(Method::DELETE, &["remnants", name])
            .if_match(revision)
            .done()
            .await
    }

    /// `GET routes`
    pub async fn routes(&self, page: &ListQuery) -> Result<Page<Resource<Route>>> {
        self.call(Method::GET, &["routes"]).query(page).page().await
    }

    /// `GET policies`
    pub async fn policies(&self) -> Result<PolicyList> {
        self.call(Method::GET, &["policies"]).read().await
    }

    /// `GET events`: a page of those that are there, oldest first; none once `query.after` is the last.
    ///
    /// # Errors
    /// `Invalid` where `query.after` is beyond the end of the log: a place of another, or of this one before it was
    /// restored.
    pub async fn event_page(&self, query: &EventQuery) -> Result<EventPage> {
        let mut pairs = query.pairs();
        pairs.extend(query.after.map(|seq| ("after", seq.to_string())));
        pairs.extend(query.limit.map(|limit| ("limit", limit.to_string())));
        self.call(Method::GET, &["events"])
            .query(&pairs)
            .read()
            .await
    }

    /// `POST events`: publishes what has happened outside, all of it or nothing, at once. What was published
    /// before under its source and id is not told again.
    ///
    /// # Errors
    /// `Conflict` where that was something else. `TooMany` above what a team may publish in a while:
    /// [`ProblemDocument::retry_after`](crate::ProblemDocument::retry_after) says when to go on.
    pub async fn publish(&self, events: &[CloudEvent]) -> Result<PublishedEvents> {
        self.call(Method::POST, &["events"])
            .json(&events)
            .read()
            .await
    }

    /// `GET events` as a stream: those that are there after `query.after`, then as they happen.
    /// Without `after`: only as they happen.
    ///
    /// # Errors
    /// At [`Events::next`], as [`Client::event_page`].
    pub fn events(&self, query: &EventQuery) -> Events<Event> {
        let after = query.after.map(|seq| seq.to_string());
        let call = self.call(Method::GET, &["events"]);
        Events::resuming(call.query(&query.pairs()), after)
    }

    /// `GET readyz`: whether the platform is there and takes work.
    ///
    /// # Errors
    /// `Unavailable` while it does not take work.
    pub async fn ready(&self) -> Result<()> {
        self.call_root(Method::GET, &["readyz"]).done().await
    }

    /// `GET openapi.json`
    pub async fn openapi(&self) -> Result<Value> {
        self.call(Method::GET, &["openapi.json"]).read().await
    }
}
