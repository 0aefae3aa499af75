//! What runs workloads: supervised processes and Docker containers.
