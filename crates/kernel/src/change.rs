//! A set of writes that happen together or not at all.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    Caller, Cause, Document, Error, Kind, NewEvent, Publication, Record, Resource, Result, Secret,
    Serial, Transient, lease::Fence, sealer::PlatformKey,
};

/// One write of a [`Change`].
#[derive(Debug, Clone)]
pub(crate) enum Write {
    Create(Document),
    Spec(Document),
    Status(Document),
    Note(Document),
    Delete(Document),
    Remove(Document),
    Require(Document),
    Unwritten {
        kind: &'static str,
        head: i64,
    },
    Seal {
        owner: Uuid,
        name: String,
        secret: Secret,
    },
    Unseal {
        owner: Uuid,
    },
    Keep(StoredRecord),
    Drop {
        kind: &'static str,
        name: String,
        version: i64,
        called: String,
    },
    Publish(Box<Publication>),
    AnnounceKey(PlatformKey),
    ForgetFormerKey,
}

/// A record in the store's own terms.
#[derive(Debug, Clone)]
pub(crate) struct StoredRecord {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// What people call it.
    pub(crate) called: String,
    pub(crate) version: i64,
    pub(crate) expires: Timestamp,
    pub(crate) value: Secret,
}

/// Writes and events that the store commits in one transaction.
///
/// Every write of a resource comes with an event of its own, made by the store:
/// `dev.towpath.resource.{created,changed,status-changed,deleting,removed}` about the resource, with
/// `revision`, `generation` and, where the status has one, `phase` as data. They come before the
/// events that [`Change::event`] adds. A write that changes nothing is not written, and has none;
/// [`Change::note`] has none either.
///
/// Every write of an existing resource carries the revision at which it was read; the commit fails
/// with [`crate::ErrorKind::Conflict`], and nothing is written, when one of them has moved on.
#[derive(Debug, Clone, Default)]
#[must_use = "a change does nothing until it is committed"]
pub struct Change {
    pub(crate) writes: Vec<Write>,
    pub(crate) events: Vec<NewEvent>,
    pub(crate) fence: Option<Fence>,
    /// What the events say that the writes come with.
    pub(crate) cause: Option<Cause>,
}

impl Change {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource whose key is free.
    pub fn create<K: Kind>(&mut self, resource: &Resource<K>) -> Result<()> {
        self.writes.push(Write::Create(resource.document()?));
        Ok(())
    }

    /// Writes spec, status and labels, and counts the generation up where the spec has changed.
    pub fn spec<K: Kind>(&mut self, resource: &Resource<K>) -> Result<()> {
        self.writes.push(Write::Spec(resource.document()?));
        Ok(())
    }

    /// Adds a resource that was made just now ([`Resource::new`]), or writes the spec of one that was read, as
    /// [`Change::spec`] does; says whether it is new.
    pub fn put<K: Kind>(&mut self, resource: &Resource<K>) -> Result<bool> {
        let is_new = resource.meta.revision == 0;
        if is_new {
            self.create(resource)?;
        } else {
            self.spec(resource)?;
        }
        Ok(is_new)
    }

    /// Writes the status alone.
    pub fn status<K: Kind>(&mut self, resource: &Resource<K>) -> Result<()> {
        self.writes.push(Write::Status(resource.document()?));
        Ok(())
    }

    /// Writes the status alone, without an event and at the same revision: for what a reconciler
    /// notes for itself between two looks (tries so far, when the next is due, when it last looked),
    /// which concerns nobody else. Work that goes on for ever must not fill the log for ever.
    ///
    /// Whoever has read the resource may still write it, and then overwrites the note: nothing that
    /// must not be lost belongs in one.
    pub fn note<K: Kind>(&mut self, resource: &Resource<K>) -> Result<()> {
        self.writes.push(Write::Note(resource.document()?));
        Ok(())
    }

    /// Asks for the deletion: reconcilers clean up, then [`Change::remove`]. Asking twice is the same
    /// as asking once.
    pub fn delete<K: Kind>(&mut self, resource: &Resource<K>) -> Result<()> {
        self.writes.push(Write::Delete(resource.document()?));
        Ok(())
    }

    /// Takes the row away, after what it stood for is gone. Its secrets go with it.
    pub fn remove<K: Kind>(&mut self, resource: &Resource<K>) -> Result<()> {
        self.writes.push(Write::Remove(resource.document()?));
        self.writes.push(Write::Unseal {
            owner: resource.meta.uid,
        });
        Ok(())
    }

    /// Commits only while `resource` is as it was read, without writing it.
    pub fn require<K: Kind>(&mut self, resource: &Resource<K>) -> Result<()> {
        self.writes.push(Write::Require(resource.document()?));
        Ok(())
    }

    /// Commits only where no other change has made a resource of kind `K`, or changed the spec of one, since the
    /// log's end was at `head` ([`crate::Store::head`]), which was read before those resources: for what holds of all
    /// of them together, such as that none names what this change removes. What is observed of them, and that one
    /// ends, is nothing to it.
    pub fn unless_written<K: Kind>(&mut self, head: i64) {
        // First: what the change itself writes is not meant.
        let kind = K::KIND;
        self.writes.insert(0, Write::Unwritten { kind, head });
    }

    /// Seals `secret` for the resource with uid `owner`, in place of an earlier one of that name.
    /// The commit fails where there is no such resource (the platform itself, [`crate::Store::platform`],
    /// may own secrets too).
    pub fn seal(&mut self, owner: Uuid, name: impl Into<String>, secret: Secret) {
        self.writes.push(Write::Seal {
            owner,
            name: name.into(),
            secret,
        });
    }

    /// Writes `record` over the version that was read, or as a new one where its version is 0.
    pub fn keep<T: Transient>(&mut self, record: &Record<T>) -> Result<()> {
        let value = serde_json::to_vec(&record.value)
            .map_err(|e| Error::internal("a record could not be serialized", e))?;
        self.writes.push(Write::Keep(StoredRecord {
            kind: T::KIND,
            called: T::called(&record.name),
            name: record.name.clone(),
            version: record.version,
            expires: record.expires,
            value: Secret::new(value),
        }));
        Ok(())
    }

    /// Removes `record`, where it is as it was read: of two that take it, one does.
    pub fn take<T: Transient>(&mut self, record: &Record<T>) {
        self.writes.push(Write::Drop {
            kind: T::KIND,
            called: T::called(&record.name),
            name: record.name.clone(),
            version: record.version,
        });
    }

    /// Commits only where nobody has decided since `serial` was read, and counts as a decision for whoever
    /// has read it as well. Said again in one change it is the same one decision, which the first reading holds
    /// for.
    pub fn after(&mut self, serial: &Serial) {
        let is_same = |write: &Write| matches!(write, Write::Keep(kept) if kept.kind == serial.line && kept.name == serial.name);
        if self.writes.iter().any(is_same) {
            return;
        }
        self.writes.push(Write::Keep(StoredRecord {
            kind: serial.line,
            name: serial.name.clone(),
            called: serial.called.clone(),
            version: serial.version,
            expires: Timestamp::now() + Serial::KNOWN,
            value: Secret::new(*b"{}"),
        }));
    }

    /// Records what happened.
    pub fn event(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Records what somebody outside says has happened, once: where its team has published the same source
    /// and id before, nothing is written. [`crate::Committed`] says which. Something else under the same
    /// source and id is a conflict, and the whole change fails.
    pub fn publish(&mut self, publication: Publication) {
        self.writes.push(Write::Publish(Box::new(publication)));
    }

    /// Announces `key` to all replicas: once every one that lives can open by it, all seal by it
    /// ([`crate::Store::attend`]). Until the former key is forgotten, the store keeps each of the two sealed by the other,
    /// and opens with either. The commit fails while another change of the key is under way.
    pub fn announce_key(&mut self, key: PlatformKey) {
        self.writes.push(Write::AnnounceKey(key));
    }

    /// Ends the change of the platform's key that is done: from now on the store opens with the new one alone. The
    /// commit fails where there is none, or something is still sealed by the former key.
    pub fn forget_former_key(&mut self) {
        self.writes.push(Write::ForgetFormerKey);
    }

    /// Commits only while the lease behind `fence` is held.
    pub fn fenced(mut self, fence: Fence) -> Self {
        self.fence = Some(fence);
        self
    }

    /// Says who causes it, how and why, and in which piece of work: goes into the events that the
    /// writes come with. Without it they take that from the first event of the change, or are the
    /// system's.
    pub fn by(mut self, caller: &Caller) -> Self {
        self.cause = Some(caller.cause());
        self
    }

    /// What it writes of resources that are there: as they will be.
    pub fn rewritten(&self) -> impl Iterator<Item = &Document> {
        self.writes.iter().filter_map(|write| match write {
            Write::Spec(document) => Some(document),
            _ => None,
        })
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.events.is_empty()
    }
}
