//! The device grant (RFC 8628): a program without a browser is approved in one elsewhere.

use jiff::Timestamp;
use kernel::{Change, Means, NewEvent, Outcome, Record, Secret, Store, anew};
use rand::{TryRngCore as _, rngs::OsRng};
use serde::Serialize;
use serde_json::json;

use super::{
    Identity, TokenAnswer, as_themselves,
    clients::{ClientCredentials, called},
    tokens::granted,
};
use crate::{
    clock::after,
    refusal::{Refusal, RefusalCode},
    state::{Decision, DeviceGrant, Login, UserCode, digest, random_token},
};

/// Letters of user codes: consonants, so that no word comes out, and none that looks like another
/// (RFC 8628, section 6.1). Eight of them are 34 bits.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
const LENGTH: usize = 8;
/// By how much a device that asks too soon must slow down (RFC 8628, section 3.5).
const SLOWER: u64 = 5;

/// What the device authorization endpoint answers. It has no `Debug`: the device code is a secret.
#[derive(Clone, Serialize)]
pub struct DeviceAnswer {
    /// What the device asks with.
    pub device_code: String,
    /// What the person types.
    pub user_code: String,
    /// Where they type it.
    pub verification_uri: String,
    /// The same with the code in it.
    pub verification_uri_complete: String,
    /// Seconds until both codes end.
    pub expires_in: u64,
    /// Seconds between two polls.
    pub interval: u64,
}

/// A device that waits, as the person who approves it is shown it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The code, as it is shown on the device.
    pub user_code: String,
    /// What the program is called.
    pub client: String,
}

fn draw_user_code() -> kernel::Result<String> {
    let mut code = String::with_capacity(LENGTH);
    let mut byte = [0];
    while code.len() < LENGTH {
        OsRng
            .try_fill_bytes(&mut byte)
            .map_err(|error| kernel::Error::internal("the system gave no random bytes", error))?;
        // 240 is the last multiple of 20: all letters are equally likely.
        if byte[0] < 240 {
            code.push(char::from(LETTERS[usize::from(byte[0] % 20)]));
        }
    }
    Ok(code)
}

/// A code as people type it: in any case, with or without its hyphen.
fn normalized(code: &str) -> Option<String> {
    let code: String = code
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .map(|c| c.to_ascii_uppercase())
        .collect();
    (code.len() == LENGTH && code.bytes().all(|byte| LETTERS.contains(&byte))).then_some(code)
}

/// A code that somebody gave, as devices show theirs; none where it is no code.
pub(super) fn shown_as_typed(code: &str) -> Option<String> {
    normalized(code).map(|code| shown(&code))
}

fn shown(code: &str) -> String {
    let (left, right) = code.split_at(LENGTH / 2);
    format!("{left}-{right}")
}

impl Identity {
    /// Begins the login of a device.
    pub async fn device_start(
        &self,
        credentials: &ClientCredentials,
        scope: &str,
        address: &str,
    ) -> Result<DeviceAnswer, Refusal> {
        let client = self.client_proved(credentials, address).await?;
        if !client.spec.device_grant {
            return Err(Refusal::new(
                RefusalCode::UnauthorizedClient,
                "this client may not use the device grant",
            ));
        }
        self.opening(address)?;
        // A code that is taken is as unlikely as a guess; another is drawn then.
        anew(|| self.device_start_once(&client.meta.name, scope)).await
    }

    async fn device_start_once(&self, client: &str, scope: &str) -> Result<DeviceAnswer, Refusal> {
        let lifetimes = &self.settings.lifetimes;
        let expires = after(self.clock.now(), lifetimes.device);
        let device_code = random_token()?;
        let user_code = draw_user_code()?;
        let interval = lifetimes.device_interval.as_secs();
        let grant = DeviceGrant {
            client_id: client.into(),
            scope: granted(scope),
            user_code: user_code.clone(),
            polled: None,
            interval,
            decision: Decision::Pending,
        };
        let device = digest(&device_code);
        let mut change = Change::new();
        change.keep(&Record::new(&device, expires, grant))?;
        change.keep(&Record::new(&user_code, expires, UserCode { device }))?;
        self.store.commit(change).await?;
        let verification_uri = format!("{}/device", self.settings.issuer);
        let user_code = shown(&user_code);
        Ok(DeviceAnswer {
            device_code,
            verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
            verification_uri,
            user_code,
            expires_in: lifetimes.device.as_secs(),
            interval,
        })
    }

    /// The tokens of a device that was approved. `authorization_pending` while nobody has decided.
    pub async fn device_poll(
        &self,
        credentials: &ClientCredentials,
        device_code: &Secret,
        address: &str,
    ) -> Result<TokenAnswer, Refusal> {
        self.client_proved(credentials, address).await?;
        let name = digest(device_code.expose());
        // Another program may begin by the same browser at this moment.
        anew(|| self.device_poll_once(&credentials.id, &name)).await
    }

    async fn device_poll_once(&self, client_id: &str, name: &str) -> Result<TokenAnswer, Refusal> {
        let unknown =
            || Refusal::grant("there is no such device code, or it was used: start again");
        let mut record = self
            .store
            .record::<DeviceGrant>(name)
            .await?
            .ok_or_else(unknown)?;
        let grant = &record.value;
        let now = self.clock.now();
        if grant.client_id != client_id {
            return Err(Refusal::grant("the device code is another client's"));
        }
        if record.expires <= now {
            return Err(Refusal::new(
                RefusalCode::ExpiredToken,
                "the code has ended before anybody approved it: start again",
            ));
        }
        match grant.decision.clone() {
            Decision::Approved(login) => {
                // As they are at this moment: the approval may have been minutes ago.
                let login = self.logged_in_still(login).await?;
                self.session_begin(login, client_id, &grant.scope, None, |change, _| {
                    change.take(&record);
                    Ok(())
                })
                .await
            }
            Decision::Denied => {
                let mut change = Change::new();
                change.take(&record);
                self.store.commit(change).await?;
                Err(Refusal::new(
                    RefusalCode::AccessDenied,
                    "the request was denied",
                ))
            }
            Decision::Pending => {
                let interval = std::time::Duration::from_secs(grant.interval);
                let too_soon = grant.polled.is_some_and(|last| now < after(last, interval));
                record.value.polled = Some(now);
                if too_soon {
                    record.value.interval += SLOWER;
                }
                let mut change = Change::new();
                change.keep(&record)?;
                match self.store.commit(change).await {
                    Err(error) if error.kind == kernel::ErrorKind::Conflict => {
                        Err(slow_down(record.value.interval))
                    }
                    Err(error) => Err(error.into()),
                    Ok(_) if too_soon => Err(slow_down(record.value.interval)),
                    Ok(_) => Err(Refusal::new(
                        RefusalCode::AuthorizationPending,
                        "nobody has approved the device yet",
                    )),
                }
            }
        }
    }

    /// The device that waits with this code; counts wrong codes against whoever types them.
    pub async fn device_show(
        &self,
        login: &Login,
        code: &str,
        address: &str,
    ) -> Result<DeviceRequest, Refusal> {
        let grant = self.device_find(login, code, address).await?.value;
        let client = self.client(&grant.client_id).await?;
        Ok(DeviceRequest {
            user_code: shown(&grant.user_code),
            client: called(&client),
        })
    }

    /// Approves the device, or denies it, in the name of whoever is logged in.
    pub async fn device_decide(
        &self,
        login: &Login,
        code: &str,
        approve: bool,
        address: &str,
    ) -> Result<(), Refusal> {
        // The device asks in between; whoever else decides takes the code away.
        anew(|| self.device_decide_once(login, code, approve, address)).await
    }

    async fn device_decide_once(
        &self,
        login: &Login,
        code: &str,
        approve: bool,
        address: &str,
    ) -> Result<(), Refusal> {
        let mut record = self.device_find(login, code, address).await?;
        record.value.decision = if approve {
            Decision::Approved(login.clone())
        } else {
            Decision::Denied
        };
        let caller = as_themselves(&login.subject, Means::Browser);
        let mut change = Change::new().by(&caller);
        self.browser_remembers(&mut change, login).await?;
        if let Some(code) = self
            .store
            .record::<UserCode>(&record.value.user_code)
            .await?
        {
            // Decided once: the code leads nowhere any more.
            change.take(&code);
        }
        change.keep(&record)?;
        let outcome = if approve {
            Outcome::Pass
        } else {
            Outcome::Fail
        };
        change.event(NewEvent::caused(
            if approve {
                "device.approved"
            } else {
                "device.denied"
            },
            kernel::Key {
                kind: "OidcClient".into(),
                scope: String::new(),
                name: record.value.client_id.clone(),
            },
            "",
            &caller,
            Some(outcome),
            json!({}),
        ));
        self.store.commit(change).await?;
        Ok(())
    }

    async fn device_find(
        &self,
        login: &Login,
        code: &str,
        address: &str,
    ) -> Result<Record<DeviceGrant>, Refusal> {
        let gates = Self::code_gates(&login.subject, address);
        let waiting = device_waiting(self.store.clone(), self.clock.now(), normalized(code));
        self.attempt(gates, waiting).await?.ok_or_else(|| {
            Refusal::request("no device waits with this code: it was mistyped, used, or has ended")
        })
    }
}

/// The device that waits with this code at `now`, if one does.
async fn device_waiting(
    store: Store,
    now: Timestamp,
    code: Option<String>,
) -> kernel::Result<Option<Record<DeviceGrant>>> {
    let code = match code {
        Some(code) => store.record::<UserCode>(&code).await?,
        None => None,
    };
    let grant = match code.filter(|code| code.expires > now) {
        Some(code) => store.record::<DeviceGrant>(&code.value.device).await?,
        None => None,
    };
    Ok(grant.filter(|grant| matches!(grant.value.decision, Decision::Pending)))
}

fn slow_down(interval: u64) -> Refusal {
    Refusal::new(
        RefusalCode::SlowDown,
        format!("asked too soon: wait {interval} s between two requests"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_of_letters_that_look_like_no_other() {
        for _ in 0..100 {
            let code = draw_user_code().unwrap();
            assert_eq!(code.len(), LENGTH);
            assert!(code.bytes().all(|byte| LETTERS.contains(&byte)));
            assert_eq!(normalized(&shown(&code).to_lowercase()), Some(code));
        }
    }

    #[test]
    fn what_is_no_code_is_none() {
        for text in [
            "",
            "BCDF",
            "BCDF-GHJA",
            "BCDF-GHJKL",
            "BCDF-GHJ0",
            "ＢCDFGHJK",
        ] {
            assert_eq!(normalized(text), None, "{text}");
        }
        assert_eq!(normalized(" bcdf ghjk "), Some("BCDFGHJK".into()));
    }
}
