//! Tests on real clusters. Each is ignored unless it is asked for, and says how many clusters it creates.

mod engine;
mod existing;
mod faults;
mod kill;
mod labels;
mod provider;
mod reuse;
mod together;
