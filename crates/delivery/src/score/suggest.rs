//! "Did you mean": the nearest of a few names.

pub(crate) use kernel::suggest::nearest;
