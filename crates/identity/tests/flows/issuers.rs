//! The keys of other issuers: kept, asked for by one for all, and held through an outage.

use std::sync::atomic::Ordering;

use axum::http::StatusCode;
use futures::future::join_all;

use crate::{
    exchange::{Setup, setup},
    servers::Signer,
};

impl Setup {
    /// A job that begins now is let in.
    async fn job(&self) {
        self.exchange(&self.signer.sign(&self.claims())).await.ok();
    }

    /// A job that begins now is to come again later.
    async fn job_waits(&self, signer: &Signer) {
        let answer = self.exchange(&signer.sign(&self.claims())).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.error(), "temporarily_unavailable");
    }

    fn asked(&self) -> usize {
        self.ci.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn only_the_issuers_own_keys_count() {
    let setup = setup().await;
    setup
        .exchange(&setup.signer.sign(&setup.claims()))
        .await
        .ok();
    let forger = Signer::new("one");
    assert_eq!(
        setup.exchange(&forger.sign(&setup.claims())).await.error(),
        "invalid_grant"
    );
    // A key that was rotated in is known soon, and one that was made up has nobody asked twice.
    let next = Signer::new("two");
    assert_eq!(
        setup.exchange(&next.sign(&setup.claims())).await.error(),
        "invalid_grant"
    );
    assert_eq!(setup.ci.asked.load(Ordering::SeqCst), 1);
    setup.ci.publish(&next);
    setup.site.advance(31);
    setup.exchange(&next.sign(&setup.claims())).await.ok();
    assert_eq!(setup.ci.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_key_that_may_be_new_is_to_come_again() {
    let setup = setup().await;
    setup.job().await;
    setup.site.advance(31);
    // A stranger has the issuer asked, right before it begins to sign with another key.
    let made_up = Signer::new("nobody-has-it").sign(&setup.claims());
    assert_eq!(setup.exchange(&made_up).await.error(), "invalid_grant");
    assert_eq!(setup.asked(), 2);
    let next = Signer::new("two");
    setup.ci.publish(&next);
    let token = next.sign(&setup.claims());
    setup.site.advance(1);
    // It is no attempt that failed, however often it comes.
    for _ in 0..40 {
        let answer = setup.exchange(&token).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.error(), "temporarily_unavailable");
        assert_eq!(answer.headers["retry-after"], "29");
    }
    assert_eq!(setup.asked(), 2);
    setup.site.advance(29);
    setup.exchange(&token).await.ok();
    assert_eq!(setup.asked(), 3);
}

#[tokio::test]
async fn an_issuer_that_is_away_says_so_and_is_left_alone_for_a_moment() {
    let setup = setup().await;
    setup.ci.down.set(true);
    setup.job_waits(&setup.signer).await;
    // It is not asked for each token that names it: whoever makes some up costs nothing.
    setup.ci.down.set(false);
    setup.site.advance(29);
    setup.job_waits(&setup.signer).await;
    assert_eq!(setup.asked(), 0);
    setup.site.advance(1);
    setup.job().await;
}

#[tokio::test]
async fn who_asks_for_the_same_keys_at_once_waits_for_one_answer() {
    let setup = setup().await;
    join_all((0..5).map(|_| setup.job())).await;
    assert_eq!(setup.asked(), 1);
    // Nor do all ask when the time of what is kept is over.
    setup.site.advance(601);
    join_all((0..5).map(|_| setup.job())).await;
    assert_eq!(setup.asked(), 2);
}

#[tokio::test]
async fn keys_hold_for_an_hour_where_their_issuer_is_away() {
    let setup = setup().await;
    setup.job().await;
    setup.ci.down.set(true);
    setup.site.advance(601);
    setup.job().await;
    // By a key that may be new nobody is let in, and nobody is refused.
    setup.job_waits(&Signer::new("two")).await;
    setup.site.advance(3600 - 601 - 1);
    setup.job().await;
    setup.site.advance(1);
    setup.job_waits(&setup.signer).await;
    setup.ci.down.set(false);
    setup.site.advance(31);
    setup.job().await;
    assert_eq!(setup.asked(), 2);
}
