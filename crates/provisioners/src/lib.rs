//! What makes the resources that workloads ask for, on real servers.
