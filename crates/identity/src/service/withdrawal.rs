//! Memberships that have ended at an upstream: they end here when that is known, and not with the tokens that
//! still name them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kernel::{Caller, Change, Key, NewEvent, Outcome, Record, Result, anew};
use serde_json::json;

use super::{Identity, Whom, access::of_platform, sessions::session_key};
use crate::{
    clock::after,
    model::Upstream,
    state::{Session, Withdrawal},
    view::{MEMBER_WITHDRAWN, SESSION_REGROUPED},
};

impl Identity {
    /// Takes out of a group of an upstream whoever is logged in as one of its members and is not among
    /// `listed`: all that the upstream has listed when it was asked at `asked`. Tokens that were signed until now
    /// name the group in vain from the next call on. Who has logged in or renewed since `asked` is left to the
    /// next look. Answers how many sessions that concerned.
    pub async fn upstream_members_end(
        &self,
        caller: &Caller,
        upstream: &str,
        group: (&str, Option<&str>),
        asked: Timestamp,
        listed: &BTreeMap<String, Whom>,
    ) -> Result<usize> {
        self.may_change(caller, &of_platform::<Upstream>(upstream))
            .await?;
        self.view.current().await?;
        let (name, id) = group;
        let sids = self.view.known().logins.sids(upstream, name, id, |login| {
            login.evaluated < asked && !listed.contains_key(&login.subject)
        });
        let mut ended = 0;
        for sid in sids {
            let took = anew(|| self.session_regroup(caller, &sid, name, id, asked)).await?;
            ended += usize::from(took);
        }
        if ended > 0 {
            self.view.current().await?;
        }
        Ok(ended)
    }

    /// Takes a session out of a group, with the tokens that it has given. Answers whether it was in it.
    async fn session_regroup(
        &self,
        caller: &Caller,
        sid: &str,
        name: &str,
        id: Option<&str>,
        asked: Timestamp,
    ) -> Result<bool> {
        let Some(mut session) = self.store.record::<Session>(sid).await? else {
            return Ok(false);
        };
        let login = &mut session.value.login;
        // By the id, whatever the group is called; by the name where that is not another group's.
        let is_it = |group: &String| match (login.group_ids.get(group), id) {
            (Some(of), Some(id)) => of == id,
            _ => group == name,
        };
        let gone: Vec<String> = login.groups.iter().filter(|g| is_it(g)).cloned().collect();
        if gone.is_empty() || login.evaluated >= asked {
            return Ok(false);
        }
        login.groups.retain(|group| !gone.contains(group));
        login.group_ids.retain(|group, _| !gone.contains(group));
        let subject = login.subject.clone();
        let mut change = Change::new().by(caller);
        change.keep(&session)?;
        // Nobody's name, and no group: see the renewal of a session.
        let (what, key) = (SESSION_REGROUPED, session_key(sid));
        change.event(NewEvent::caused(what, key, "", caller, None, json!({})));
        for group in &gone {
            self.member_withdraw(&mut change, caller, &subject, group)
                .await?;
        }
        self.store.commit(change).await?;
        Ok(true)
    }

    /// Has the tokens that name `subject` in `group` do so in vain, where they were signed before the commit of
    /// `change`.
    async fn member_withdraw(
        &self,
        change: &mut Change,
        caller: &Caller,
        subject: &str,
        group: &str,
    ) -> Result<()> {
        let at = self.clock.now();
        let name = Withdrawal::name(subject, group);
        let value = Withdrawal {
            subject: subject.into(),
            group: group.into(),
            at,
        };
        let expires = after(at, self.settings.lifetimes.longest_token());
        change.keep(&match self.store.record::<Withdrawal>(&name).await? {
            Some(record) => Record {
                value,
                expires,
                ..record
            },
            None => Record::new(name, expires, value),
        })?;
        change.event(NewEvent::caused(
            MEMBER_WITHDRAWN,
            Key {
                kind: "Member".into(),
                scope: group.replace('/', ":"),
                name: subject.into(),
            },
            group,
            caller,
            Some(Outcome::Pass),
            json!({ "subject": subject, "group": group, "at": at }),
        ));
        Ok(())
    }
}
