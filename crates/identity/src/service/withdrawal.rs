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
    source::local::LOCAL,
    state::{Login, Session, Withdrawal},
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
        change.event(regrouped(sid, caller));
        for group in &gone {
            self.member_withdraw(&mut change, caller, &subject, group)
                .await?;
        }
        self.store.commit(change).await?;
        Ok(true)
    }

    /// Tells within `change` where a source says other groups of a session's person than before, and has the
    /// tokens that name one that they have left do so in vain.
    pub(super) async fn session_regrouped(
        &self,
        change: &mut Change,
        caller: &Caller,
        sid: &str,
        (was, is): (&Login, &Login),
    ) -> Result<()> {
        // That whoever was taken out is in it as before is news as well.
        self.view.current().await?;
        let is_same = (&was.groups, &was.group_ids) == (&is.groups, &is.group_ids);
        if is_same && !self.view.known().withdrawn.is_back(was, is) {
            return Ok(());
        }
        change.event(regrouped(sid, caller));
        // Of the platform's own people it is known anyhow.
        if is.source != LOCAL {
            let platform = Caller::system("identity", caller.correlation);
            for group in left(was, is) {
                self.member_withdraw(change, &platform, &is.subject, group)
                    .await?;
            }
        }
        Ok(())
    }

    /// Has the tokens that name `subject` in `group` do so in vain, where they were signed before the commit of
    /// `change`, or by what their session was told before it, as long as no question that the source is asked from now
    /// on says otherwise in their session.
    async fn member_withdraw(
        &self,
        change: &mut Change,
        caller: &Caller,
        subject: &str,
        group: &str,
    ) -> Result<()> {
        let at = self.clock.now();
        let log_place = self.store.head().await?;
        let name = Withdrawal::name(subject, group);
        let value = Withdrawal {
            subject: subject.into(),
            group: group.into(),
            at,
            log_place,
        };
        let expires = after(at, self.settings.lifetimes.longest_membership());
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
            json!({ "subject": subject, "group": group, "at": at, "logPlace": log_place }),
        ));
        Ok(())
    }
}

/// That the groups of a session's person are others. Nobody's name, and no group: whoever keeps in mind who is
/// in which reads the session.
fn regrouped(sid: &str, caller: &Caller) -> NewEvent {
    let key = session_key(sid);
    NewEvent::caused(SESSION_REGROUPED, key, "", caller, None, json!({}))
}

/// The groups that somebody was in and is no longer. Not one that is called otherwise by now, nor a name that they
/// have by another group: what is withdrawn is the name.
fn left<'l>(was: &'l Login, is: &Login) -> Vec<&'l String> {
    let is_in = |group: &String| {
        let id = was.group_ids.get(group);
        is.groups.contains(group) || id.is_some_and(|id| is.group_ids.values().any(|of| of == id))
    };
    was.groups.iter().filter(|group| !is_in(group)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(groups: &[(&str, &str)]) -> Login {
        let ids = groups.iter().filter(|(_, id)| !id.is_empty());
        Login {
            subject: "corp:7".into(),
            name: "ada".into(),
            email: None,
            source: "corp".into(),
            groups: groups.iter().map(|(name, _)| (*name).to_owned()).collect(),
            group_ids: ids
                .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
                .collect(),
            evaluated: Timestamp::UNIX_EPOCH,
            log_place: 0,
            at: Timestamp::UNIX_EPOCH,
            logins: 0,
            upstream: None,
            browser: None,
            upstream_sid: None,
        }
    }

    #[test]
    fn what_is_called_otherwise_is_not_left() {
        for (was, is, expected) in [
            (
                &[("pay", ""), ("web", "")][..],
                &[("web", "")][..],
                &["pay"][..],
            ),
            (&[("pay", "42")], &[("money", "42")], &[]),
            (&[("pay", "42")], &[("pay", "43")], &[]),
            (&[("pay", "42")], &[("money", "43")], &["pay"]),
            (&[("pay", "42")], &[], &["pay"]),
            (&[], &[("pay", "")], &[]),
        ] {
            let (was, is) = (login(was), login(is));
            assert_eq!(left(&was, &is), expected, "{was:?} {is:?}");
        }
    }
}
