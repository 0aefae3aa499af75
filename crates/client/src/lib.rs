//! The typed HTTP client of the Towpath API.
