//! The mock Central API.
