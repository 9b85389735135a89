//! The JSON Schema of the record, generated from the event types.

use schemars::{Schema, schema_for};

use super::Record;

/// The schema of one line of `events.ndjson`.
pub fn schema() -> Schema {
    schema_for!(Record)
}
