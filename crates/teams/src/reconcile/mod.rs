//! The level-triggered work of teams: idempotent, safe to run twice and to kill.
