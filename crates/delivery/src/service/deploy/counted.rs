//! Deployments that count against what their team may have: of one team, one after the other.

use kernel::{Caller, Contended, Error, Line, Query, Resource, Result, anew};

use super::{Delivery, Order, Room};
use crate::{
    model::{Deployment, Workload},
    service::{
        plans::{Draft, refused},
        quota::Counted,
    },
};

/// Why a deployment was not written that is counted with the others of its team.
struct Uncounted(Error);

impl Contended for Uncounted {
    /// Where another was counted meanwhile. What the deployment was planned by moves on as well: then it is planned
    /// anew, and not only counted.
    fn is_overtaken(&self) -> bool {
        self.0.is_overtaken_at::<Counted>()
    }

    fn line(&self) -> Option<Line> {
        // The team's turn is had already.
        None
    }

    fn given_up(self, times: u32) -> Self {
        Self(self.0.given_up(times))
    }
}

impl Delivery {
    /// Writes a deployment when it is its turn in its team. It was planned beside the others: only from the count to
    /// its commit they wait for each other, and only those of this process. What other replicas count between the two
    /// is counted again.
    pub(super) async fn write_counted(
        &self,
        caller: &Caller,
        room: &Room,
        order: &Order,
        draft: &Draft,
    ) -> Result<Resource<Deployment>> {
        // No environment's name has a `/`.
        let team = format!("team/{}", room.environment.spec.team);
        let _turn = self.turns.of(&team).await;
        let written = anew(|| async {
            let once = self.write_counted_once(caller, room, order, draft).await;
            once.map_err(Uncounted)
        });
        written.await.map_err(|Uncounted(error)| error)
    }

    async fn write_counted_once(
        &self,
        caller: &Caller,
        room: &Room,
        order: &Order,
        draft: &Draft,
    ) -> Result<Resource<Deployment>> {
        let environment = &room.environment;
        let query = Query::scope(environment.meta.name.as_str());
        let running: Vec<Resource<Workload>> = self.store.list_all(&query).await?;
        let sum = self.check_quota(environment, order, &running).await?;
        if !sum.problems.is_empty() {
            return Err(refused(sum.problems));
        }
        self.write(caller, room, order, draft, &sum).await
    }
}
