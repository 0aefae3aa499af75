//! Start and stop of a platform.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{Extension, Router, extract::DefaultBodyLimit, middleware};
use catalog::Catalog;
use delivery::{
    reconcile::{Deployments, Environments, Instances, Namespaces, Workloads},
    service::{Delivery, Settings},
};
use fleet::Fleet;
use gateway::{Gateway, GatewayHandle, Limits};
use identity::{
    Clock, Either, Identity,
    service::{PORTAL, PORTAL_CALLBACK},
};
use kernel::{
    Driver, DriverHandle, Error, ErrorKind, Guard, Result, Secret, Store,
    http::{AdminToken, Authenticator, Rooms, Strangers, access_routes},
};
use portal::Portal;
use publications::Publications;
use secrets::{DeployCredentials, Sealed, SecretStore, Secrets, Vault};
use subscriptions::{Deliveries, NatsOutlet, Subscriptions};
use teams::{
    Registered, Registry, Teams,
    reconcile::{
        IntegrationChanges, Integrations, Measuring, Onboarding, PeopleChanges, ToolCredentials,
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    Config, actions,
    adapters::{Adapters, DeployKeysOf},
    apart::Apart,
    api,
    callers::{Refusals, Workloads as CallingWorkloads},
    declared::DeclaredDocuments,
    departures::Departures,
    deploy_accounts::DeployAccounts,
    documents::{AllDocuments, CatalogDocuments, FleetDocuments},
    keys, kinds, lead,
    machine::{address, holder, listen, make_directory},
    metrics::{self, Metrics},
    parts::Parts,
    rekey::{self, Rekey, Rekeying},
    routing::Routing,
    team_ports::{
        OfDelivery, OfIdentity, OfSecrets, OfSubscriptions, OfTeams, OfTools, TeamDocuments,
    },
};

/// The largest request: a few workloads with their files inlined.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

/// How long requests under way have when the platform stops.
const GRACE: Duration = Duration::from_secs(5);

/// A platform that runs. Dropping it without [`Running::stop`] is like a crash.
pub struct Running {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where the gateway listens.
    pub gateway: SocketAddr,
    /// The token of the local admin.
    pub admin_token: Secret,
    delivery: Arc<Delivery>,
    adapters: Adapters,
    driver: DriverHandle,
    gateway_handle: GatewayHandle,
    /// What serves the API: it stops last.
    serving: Parts,
    parts: Parts,
    stop: CancellationToken,
    /// Goes last: see there.
    _apart: Apart,
}

/// Starts a platform: returns once it serves.
pub async fn start(config: Config) -> Result<Running> {
    config.check()?;
    // Already installed is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    make_directory(&config.data)?;
    let connections = api::connection_limit();
    let (ports, passed_on) = api::forwarding(connections);
    // Ports first: what is in use is said before anything else is touched.
    let api_listener = listen(config.listen, "the API", "--listen").await?;
    let gateway_listener = listen(config.gateway_listen, "the gateway", "--gateway-listen").await?;
    let api_address = address(&api_listener)?;
    let gateway = address(&gateway_listener)?;

    let (sealer, turning) = keys::sealer(&config).await?;
    let store = Store::open(&config.store_url(), sealer).await?;
    let stop = CancellationToken::new();
    let mut parts = Parts::default();
    turning.join(&store).await?;
    parts.run(
        "the change of the platform's key",
        turning.clone().follow(store.clone(), stop.clone()),
    );
    let admin = AdminToken::from_file(&config.data.join("admin.token"))?;
    let admin_token = admin.token().clone();
    let key = keys::digest_key(&store).await?;
    let driver = Driver::new(store.clone(), holder());
    let leadership = driver.leadership();
    let values: Arc<dyn SecretStore> = match &config.vault {
        Some(vault) => Arc::new(Vault::new(vault, store.clone())?),
        None => Arc::new(Sealed::new(store.clone())),
    };
    let adapters = Adapters::connect(
        &config,
        &store,
        gateway,
        &key,
        values.clone(),
        leadership,
        passed_on,
    )
    .await?;
    let registry = Registry::load(store.clone(), config.reserved_groups()).await?;
    let guard = Guard::new(store.clone(), adapters.authorizer.clone()).since(registry.clone());
    let clock = Clock::system();
    let delivery = Arc::new(Delivery::new(
        store.clone(),
        adapters.engines.clone(),
        adapters.provisioners.clone(),
        adapters.verifier.clone(),
        guard.clone(),
        Settings {
            domain: config.domain.clone(),
            gateway_port: gateway.port(),
            default_engine: config.engine.clone(),
            default_timeout_seconds: 300,
            clock: clock.clone(),
        },
        key.clone(),
    ));
    let secrets = Arc::new(Secrets::new(store.clone(), guard.clone(), values.clone()));
    let identity = config.identity(api_address);
    let catalog = Arc::new(Catalog::new(
        store.clone(),
        guard.clone(),
        catalog::service::Settings {
            server: identity.issuer.clone(),
        },
    ));
    let fleet = Arc::new(Fleet::new(store.clone(), guard.clone()));
    let installed = lead::install_unless_led(&delivery, &catalog).await?;
    let identity = Identity::start(store.clone(), guard.clone(), identity, clock);
    let identity = Arc::new(identity.await?);
    let subscriptions = Arc::new(Subscriptions::new(
        store.clone(),
        guard.clone(),
        Arc::new(OfTeams(registry.clone())),
        config.subscriptions(),
    )?);
    identity.know_webhooks(Arc::new(OfSubscriptions(subscriptions.clone())));
    let authenticator = Registered::new(Either::new(admin, identity.verifier()), registry.clone());
    let of_identity = OfIdentity::beside(identity.clone(), &registry);
    let teams = Arc::new(Teams::new(
        store.clone(),
        guard.clone(),
        registry.clone(),
        teams::service::Ports {
            local: Arc::new(of_identity.clone()),
            upstreams: Arc::new(of_identity.clone()),
            credentials: Arc::new(DeployAccounts {
                identity: of_identity.clone(),
                values: values.clone(),
            }),
            secrets: Arc::new(OfSecrets(secrets.values().clone())),
            belongings: vec![
                Arc::new(OfSubscriptions(subscriptions.clone())),
                Arc::new(of_identity.clone()),
                Arc::new(OfDelivery(delivery.clone())),
                Arc::new(OfSecrets(secrets.values().clone())),
            ],
            tools: integrations::tools(config.reach())?,
        },
        config.teams(),
    ));
    identity.know_tools(Arc::new(OfTools(teams.clone())));
    identity.know_rotations(Arc::new(Departures {
        secrets: secrets.clone(),
        delivery: delivery.clone(),
    }));
    delivery.also_ends(Arc::new(OfIdentity(identity.clone())));
    delivery.also_applies(Arc::new(AllDocuments(vec![
        Arc::new(TeamDocuments(teams.clone())),
        Arc::new(CatalogDocuments(catalog.clone())),
        Arc::new(FleetDocuments(fleet.clone())),
        Arc::new(DeclaredDocuments {
            identity: identity.clone(),
            subscriptions: subscriptions.clone(),
        }),
    ])));

    let measuring = Measuring::start(teams.clone()).await?;

    let (refusing, until) = (guard.clone(), stop.clone());
    parts.run("the log of refusals", async move {
        refusing.tell_refusals(until).await;
    });
    let strangers = Strangers::default();
    parts.run(
        "the log of calls by nobody that is known",
        strangers.clone().keep(store.clone(), stop.clone()),
    );
    let refusals = Arc::new(Refusals::default());
    parts.run(
        "the log of refused connections",
        refusals.clone().keep(store.clone(), stop.clone()),
    );
    let callers: Arc<dyn gateway::Callers> =
        Arc::new(CallingWorkloads::new(adapters.engines.clone(), refusals));
    let (mut routing, table) = Routing::new(
        store.clone(),
        adapters.service_ports.clone(),
        Some(callers.clone()),
        ports,
    );
    routing.refresh().await?;
    parts.run("the gateway's routing", routing.follow(stop.clone()));
    parts.run(
        "the view of identities",
        identity.clone().follow(stop.clone()),
    );
    parts.run("the view of teams", registry.follow(stop.clone()));
    // Ten thousand subscribers to one event are ten thousand requests at once.
    let apart = Apart::start("deliveries")?;
    parts.run(
        "the delivery of events to subscriptions",
        apart.run(Deliveries::new(subscriptions.clone(), &holder()).run(stop.clone())),
    );
    if let Some(url) = config.nats.clone() {
        let outlet = NatsOutlet::new(store.clone(), url, &holder())?;
        parts.run("the delivery of events to NATS", outlet.run(stop.clone()));
    }
    let limits = Limits {
        connections,
        ..Limits::default()
    };
    let gateway_handle = Gateway::start_with(gateway_listener, table, limits, Some(callers))
        .map_err(|e| Error::internal("the gateway did not start", e))?;

    let driver = driver
        .with(Arc::new(Instances::new(delivery.clone())))
        .with(Arc::new(Workloads(delivery.clone())))
        .with(Arc::new(Deployments(delivery.clone())))
        .with(Arc::new(Environments(delivery.clone())))
        .with(Arc::new(Namespaces(delivery.clone())))
        .with(Arc::new(Onboarding(teams.clone())))
        .with(Arc::new(Integrations(teams.clone())))
        .with(Arc::new(IntegrationChanges(teams.clone())))
        .with(Arc::new(ToolCredentials(teams.clone())))
        .with(Arc::new(PeopleChanges::new(
            teams.clone(),
            identity::PERSON,
        )))
        .with(Arc::new(measuring))
        .with(Arc::new(identity::reconcile::Keys(identity.clone())))
        .with(Arc::new(identity::reconcile::People(identity.clone())))
        .with(Arc::new(identity::reconcile::Upstreams(identity.clone())))
        .with(Arc::new(DeployCredentials::new(
            values,
            Arc::new(DeployKeysOf(identity.clone())),
        )))
        .with(Arc::new(Rekeying(turning.clone())))
        .start();
    for engine in &adapters.engines {
        let changes = engine.changes();
        parts.run(
            "the watch over engines",
            lead::relay(changes, store.clone(), driver.nudger(), stop.clone()),
        );
        parts.run(
            "the handing over of engines",
            lead::stand_down(engine.clone(), driver.leadership(), stop.clone()),
        );
    }
    if !installed {
        parts.run_once(
            "the installation of what comes with the platform",
            lead::install_once_leading(
                delivery.clone(),
                catalog.clone(),
                driver.leadership(),
                stop.clone(),
            ),
        );
    }

    let publications = Arc::new(Publications::new(store.clone(), guard.clone()));
    let router = Router::new()
        .merge(delivery::http::routes(delivery.clone()))
        .merge(catalog::http::routes(catalog))
        .merge(fleet::http::routes(fleet))
        .merge(teams::http::routes(teams))
        .merge(subscriptions::http::routes(subscriptions))
        .merge(identity::http::routes(identity.clone()))
        .merge(secrets::http::routes(secrets))
        .merge(rekey::routes(Arc::new(Rekey::new(
            store.clone(),
            guard.clone(),
            turning,
        ))))
        .merge(metrics::routes(Metrics {
            store: store.clone(),
            guard: guard.clone(),
            queues: driver.queues(),
            leads: driver.leadership(),
            publications: publications.clone(),
        }))
        .merge(publications::http::routes(publications))
        .merge(access_routes(guard.clone(), actions::ACTIONS, kinds::KINDS))
        .merge(kernel::http::routes(store.clone(), guard, stop.clone()))
        .merge(portal::http::routes(Arc::new(Portal::new(
            store.clone(),
            portal_settings(&identity, api_address),
        ))))
        .merge(crate::http::routes(store.clone()));
    let router = crate::http::keyed(router, store, key)
        .layer(middleware::from_fn_with_state(
            identity,
            identity::http::note_automation,
        ))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(Extension(Arc::new(authenticator) as Arc<dyn Authenticator>))
        .layer(Extension(strangers))
        .layer(Extension(Rooms::default()))
        .layer(middleware::from_fn(kernel::http::correlate));
    let mut serving = Parts::default();
    serving.run(
        "the API",
        api::serve(api_listener, router, connections, stop.clone()),
    );
    tracing::info!(api = %api_address, %gateway, data = %config.data.display(), "towpath is up");
    Ok(Running {
        api: api_address,
        gateway,
        admin_token,
        delivery,
        adapters,
        driver,
        gateway_handle,
        serving,
        parts,
        stop,
        _apart: apart,
    })
}

impl Running {
    /// The use cases, for those who run the platform in their own process (tests, benchmarks).
    pub fn delivery(&self) -> &Arc<Delivery> {
        &self.delivery
    }

    /// Whether this replica reconciles.
    pub fn is_leader(&self) -> bool {
        self.driver.is_leader()
    }

    /// Waits until a part of the platform fails that should run for as long as it does; says which. Whoever
    /// runs the platform stops it then, and starts it anew: half a platform would be taken for a whole one.
    pub async fn failed(&mut self) -> Error {
        tokio::select! {
            error = self.driver.failed() => error,
            error = self.parts.failed() => error,
            error = self.serving.failed() => error,
            () = self.gateway_handle.failed() => Error::new(
                ErrorKind::Internal,
                "the gateway has failed, and the platform cannot go on without",
            )
            .remedy("start it again; its log says what went before"),
        }
    }

    /// Stops in order: no new work, then the work under way, then what serves. Workloads and the
    /// servers behind them go on, and are found again at the next start.
    pub async fn stop(mut self) -> Result<()> {
        self.driver.shutdown().await;
        self.stop.cancel();
        self.gateway_handle.shutdown(GRACE).await;
        // Streams that follow events have no end of their own: they end with the value.
        let _ = tokio::time::timeout(GRACE, self.serving.end()).await;
        drop(self.serving);
        self.parts.end().await;
        self.adapters.stop().await;
        self.delivery.store().close().await;
        Ok(())
    }
}

/// What the portal is told: it speaks to the API that is served right here.
fn portal_settings(identity: &Identity, api: SocketAddr) -> portal::Settings {
    let settings = identity.settings();
    let here = match api.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), api.port())
        }
        IpAddr::V6(ip) if ip.is_unspecified() => {
            SocketAddr::new(Ipv6Addr::LOCALHOST.into(), api.port())
        }
        _ => api,
    };
    portal::Settings {
        api: format!("http://{here}"),
        issuer: settings.issuer.clone(),
        client_id: PORTAL.into(),
        redirect_uri: format!("{}{PORTAL_CALLBACK}", settings.issuer),
        session: settings.lifetimes.session,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// A platform of its own that starts no server.
    async fn platform(data: &Path) -> Running {
        let somewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config {
            listen: somewhere,
            gateway_listen: somewhere,
            s3_listen: somewhere,
            start_servers: false,
            ..Config::local(data)
        };
        start(config).await.expect("it starts")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_platform_whose_part_dies_says_which_and_can_be_stopped() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut running = platform(directory.path()).await;
        let quiet = tokio::time::timeout(Duration::from_millis(300), running.failed()).await;
        assert!(quiet.is_err(), "{quiet:?}");
        running
            .parts
            .run("the canary", async { panic!("it is dead") });
        let failed = tokio::time::timeout(GRACE, running.failed()).await;
        let error = failed.expect("it is seen");
        assert!(
            error.message.starts_with("the canary has failed"),
            "{error}"
        );
        running.stop().await.expect("it stops");
    }
}
