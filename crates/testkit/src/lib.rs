//! A whole platform for a test in one line; real servers for tests.
