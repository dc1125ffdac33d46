//! The EKS Connector sidecar: registration, console access, deregistration.
