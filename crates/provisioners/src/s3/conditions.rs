//! Conditions on the object that is there (RFC 9110, section 13).

use s3s::{
    S3Result,
    dto::{ETag, ETagCondition, Timestamp},
    s3_error,
};

use super::{api::timestamp, record::Record};

/// Conditions of a read or of a copy's source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Conditions<'a> {
    pub(super) matches: Option<&'a ETagCondition>,
    pub(super) differs: Option<&'a ETagCondition>,
    pub(super) modified_since: Option<&'a Timestamp>,
    pub(super) unmodified_since: Option<&'a Timestamp>,
}

impl Conditions<'_> {
    /// For a read: one whose client has the object already is told so.
    pub(super) fn check(&self, record: &Record) -> S3Result<()> {
        if !self.fits(record) {
            return Err(s3_error!(PreconditionFailed));
        }
        if self.is_known(record) {
            return Err(s3_error!(NotModified));
        }
        Ok(())
    }

    /// For a copy's source: all that does not hold is a failure.
    pub(super) fn check_copy(&self, record: &Record) -> S3Result<()> {
        if self.fits(record) && !self.is_known(record) {
            Ok(())
        } else {
            Err(s3_error!(PreconditionFailed))
        }
    }

    /// `If-Match`, and without it `If-Unmodified-Since`.
    fn fits(&self, record: &Record) -> bool {
        match (self.matches, self.unmodified_since) {
            (Some(condition), _) => is(record, condition),
            (None, Some(since)) => timestamp(record.modified) <= *since,
            (None, None) => true,
        }
    }

    /// `If-None-Match`, and without it `If-Modified-Since`.
    fn is_known(&self, record: &Record) -> bool {
        match (self.differs, self.modified_since) {
            (Some(condition), _) => is(record, condition),
            (None, Some(since)) => timestamp(record.modified) <= *since,
            (None, None) => false,
        }
    }
}

/// For a write: whether what is there, if anything, may be replaced.
pub(super) fn check_write(
    present: Option<&Record>,
    matches: Option<&ETagCondition>,
    differs: Option<&ETagCondition>,
) -> S3Result<()> {
    let fits = matches.is_none_or(|condition| present.is_some_and(|record| is(record, condition)));
    let differs =
        !differs.is_some_and(|condition| present.is_some_and(|record| is(record, condition)));
    if fits && differs {
        Ok(())
    } else {
        Err(s3_error!(PreconditionFailed))
    }
}

fn is(record: &Record, condition: &ETagCondition) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => ETag::Strong(record.etag.clone()).weak_cmp(etag),
    }
}
