//! The embedded HTTP gateway: hosts and paths to workloads.
