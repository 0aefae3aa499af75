//! One request on its way: admitted, routed, sent, and sent again where that is safe.

use std::{
    error::Error as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ::http::{HeaderMap, HeaderValue, Method, Request, Response, header::UPGRADE};
use hyper::{
    body::{Body, Incoming},
    client::conn::TrySendError,
    upgrade::OnUpgrade,
};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    admission::{Admission, Callers, Peer},
    body::{AnswerBody, Cut, RequestBody},
    head::{self, Sender},
    http::{self, Refusal},
    limits::Limits,
    pool::{Lease, Pool},
    table::{RoutingTable, Target},
    upgrade,
};

/// Tries for one request, of connections that turned out dead and of backends that refused.
const MOST_TRIES: usize = 4;

/// A connected client.
pub(crate) struct Client {
    /// Its address, written once for all its requests.
    pub(crate) address: HeaderValue,
    /// Whose it is; a tunnel keeps it.
    pub(crate) peer: Arc<Peer>,
    /// Its place among the allowed connections; a tunnel keeps it.
    pub(crate) slot: Arc<OwnedSemaphorePermit>,
}

/// A client that wants to change protocols.
struct Upgrade {
    side: OnUpgrade,
    slot: Arc<OwnedSemaphorePermit>,
    peer: Arc<Peer>,
    through: Through,
}

/// The route by which a client came in.
struct Through {
    /// Whose it was.
    owner: Option<String>,
    host: String,
    path: String,
}

impl Through {
    /// Whom `newest` lets in there; none where the route leads to others than it did.
    fn admission(&self, newest: &RoutingTable) -> Option<Arc<Admission>> {
        let now = newest.find(&self.host, &self.path)?;
        let is_same = self.owner.as_ref() == Some(&now.owner);
        now.admission.clone().filter(|_| is_same)
    }
}

/// What all connections share.
pub(crate) struct Proxy {
    pub(crate) table: watch::Receiver<Arc<RoutingTable>>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) limits: Limits,
    /// Who knows whose workload calls.
    pub(crate) callers: Option<Arc<dyn Callers>>,
    /// Whose turn it is among the backends of a target.
    pub(crate) turn: AtomicUsize,
    pub(crate) tasks: TaskTracker,
    pub(crate) kill: CancellationToken,
}

impl Proxy {
    /// Answers a request.
    pub(crate) async fn serve(
        &self,
        client: &Client,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let page = http::wants_page(request.headers());
        match self.forward(client, request).await {
            Ok(response) => response,
            Err(refusal) => {
                tracing::debug!(?refusal, "a request was not served");
                refusal.answer(page)
            }
        }
    }

    async fn forward(
        &self,
        client: &Client,
        mut request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, Refusal> {
        let host = head::admit(&mut request)?;
        if request.body().size_hint().lower() > self.limits.body_bytes {
            return Err(Refusal::TooLarge);
        }
        let protocol = head::wanted_upgrade(request.headers());
        let client_side = protocol.is_some().then(|| hyper::upgrade::on(&mut request));
        head::prepare_request(
            &mut request,
            &Sender {
                address: &client.address,
                believed: self.limits.behind_proxy,
            },
        )?;
        if let Some(protocol) = protocol {
            http::set_upgrade(request.headers_mut(), protocol);
        }
        let request = request
            .map(|body| RequestBody::new(body, self.limits.body_bytes, self.limits.body_pause));
        let path = client_side
            .is_some()
            .then(|| request.uri().path().to_owned());
        let (response, lease, table) = self.exchange(client, &host, request).await?;
        let upgrade = client_side.zip(path).map(|(side, path)| Upgrade {
            side,
            slot: client.slot.clone(),
            peer: client.peer.clone(),
            through: Through {
                owner: table.find(&host, &path).map(|target| target.owner.clone()),
                host,
                path,
            },
        });
        self.pass_back(response, lease, upgrade)
    }

    /// Sends `request` until a backend answers it, as often as that is safe:
    /// - to another backend, or over another connection, while no byte of it was sent;
    /// - again, when the connection closed before any answer, if the request may be repeated
    ///   (RFC 9110, 9.2.2) and either the connection was an old one or the routes have changed.
    async fn exchange(
        &self,
        client: &Client,
        host: &str,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, Lease, Arc<RoutingTable>), Refusal> {
        let repeatable = is_repeatable(&request);
        let mut pending = request;
        // Backends that refused a connection.
        let mut refused: Vec<SocketAddr> = Vec::new();
        let mut keep_out = false;
        for tries_left in (0..MOST_TRIES).rev() {
            let table = self.table.borrow().clone();
            let target = table
                .find(host, pending.uri().path())
                .ok_or_else(|| Refusal::NoRoute(host.to_owned()))?;
            let admitted = client.peer.admit(target.admission.as_ref()).await;
            admitted.map_err(Refusal::Denied)?;
            let Some(backend) = self.choose(target, &refused) else {
                return Err(if target.backends.is_empty() {
                    Refusal::Absent(target.absence)
                } else {
                    Refusal::Unreachable
                });
            };
            let kept = if keep_out {
                None
            } else {
                self.pool.take(backend, !repeatable).await
            };
            let mut lease = match kept {
                Some(lease) => lease,
                None => match self
                    .pool
                    .connect(backend, self.limits.connect_timeout)
                    .await
                {
                    Ok(lease) => lease,
                    Err(error) => {
                        tracing::warn!(owner = target.owner, %backend, %error, "no connection");
                        refused.push(backend);
                        continue;
                    }
                },
            };
            // The wait for a connection may have outlived the route.
            if tries_left > 0 && !Arc::ptr_eq(&table, &self.table.borrow()) {
                lease.give_back();
                continue;
            }
            let copy = repeatable.then(|| repeat(&pending));
            let progress = pending.body().progress();
            let sending = lease.sender.try_send_request(pending);
            let mut failure = match answer_head(sending, progress, self.limits.answer_timeout).await
            {
                None => {
                    tracing::warn!(owner = target.owner, %backend, "no answer in time");
                    return Err(Refusal::Late);
                }
                Some(Ok(response)) => return Ok((response, lease, table)),
                Some(Err(failure)) => failure,
            };
            let error = failure.error();
            if let Some(cut) = error.source().and_then(|s| s.downcast_ref::<Cut>()) {
                return Err(match cut {
                    Cut::TooLarge => Refusal::TooLarge,
                    Cut::Stalled | Cut::Gone => Refusal::Stalled,
                });
            }
            let moved = !Arc::ptr_eq(&table, &self.table.borrow());
            tracing::debug!(owner = target.owner, %backend, %error, used = lease.used, "cut off");
            let unsent = failure.take_message();
            pending = match (unsent, copy) {
                (Some(request), _) => request,
                (None, Some(copy)) if lease.used || moved => copy,
                _ => {
                    tracing::warn!(owner = target.owner, %backend, "no whole answer");
                    return Err(Refusal::Broken);
                }
            };
            keep_out = true;
        }
        Err(Refusal::Unreachable)
    }

    /// The next backend in turn that has not refused.
    fn choose(&self, target: &Target, refused: &[SocketAddr]) -> Option<SocketAddr> {
        let count = target.backends.len();
        if count == 0 {
            return None;
        }
        let first = if count == 1 {
            0
        } else {
            self.turn.fetch_add(1, Ordering::Relaxed)
        };
        (0..count)
            .map(|step| target.backends[(first + step) % count])
            .find(|backend| !refused.contains(backend))
    }

    fn pass_back(
        &self,
        mut response: Response<Incoming>,
        lease: Lease,
        upgrade: Option<Upgrade>,
    ) -> Result<Response<AnswerBody>, Refusal> {
        if !http::is_switch(&response) {
            head::end_hop(response.headers_mut());
            return Ok(response.map(|body| AnswerBody::stream(body, lease)));
        }
        // A change of protocol that nobody asked for would leave the client lost.
        let (Some(upgrade), Some(protocol)) = (upgrade, response.headers().get(UPGRADE).cloned())
        else {
            return Err(Refusal::Broken);
        };
        let backend = hyper::upgrade::on(&mut response);
        head::end_hop(response.headers_mut());
        http::set_upgrade(response.headers_mut(), protocol);
        let (kill, newest) = (self.kill.clone(), self.table.clone());
        self.tasks.spawn(async move {
            let Upgrade {
                side,
                slot,
                peer,
                through,
            } = upgrade;
            let shut_out = peer.until_shut_out(newest, |table| through.admission(table));
            upgrade::tunnel(side, backend, shut_out, kill).await;
            drop(slot);
        });
        Ok(response.map(|_| AnswerBody::whole(bytes::Bytes::new())))
    }
}

type Sent = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;

/// Waits for the head of an answer; `None`: too long. The time runs from the last piece of the
/// request's body, for an upload may take longer than any answer should.
async fn answer_head(
    sending: impl Future<Output = Sent>,
    progress: Option<Arc<AtomicU64>>,
    limit: Duration,
) -> Option<Sent> {
    tokio::pin!(sending);
    let mut seen = 0;
    loop {
        if let Ok(sent) = tokio::time::timeout(limit, &mut sending).await {
            return Some(sent);
        }
        let now = progress
            .as_ref()
            .map_or(0, |count| count.load(Ordering::Relaxed));
        if now == seen {
            return None;
        }
        seen = now;
    }
}

/// Whether a request may be sent twice: doing it again changes nothing, and there is no body that
/// has been read away.
fn is_repeatable(request: &Request<RequestBody>) -> bool {
    let harmless = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    harmless && matches!(request.body(), RequestBody::Empty)
}

fn repeat(request: &Request<RequestBody>) -> Request<RequestBody> {
    let mut copy = Request::new(RequestBody::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = HeaderMap::clone(request.headers());
    copy
}
