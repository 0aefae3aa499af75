//! Configuration, wiring, start and stop.
