//! The phases, one file each. Each phase returns its evidence or its failure.

pub(super) mod assertions;
pub(super) mod cleanup;
pub(super) mod cluster;
pub(super) mod command;
mod counters;
pub(super) mod final_check;
pub(super) mod images;
pub(super) mod local_endpoint;
pub(super) mod manifests;
pub(super) mod periodic;
pub(super) mod readiness;
pub(super) mod request_bodies;
pub(super) mod restart;
