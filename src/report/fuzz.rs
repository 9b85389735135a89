//! Property tests: a record with arbitrary numbers and strings, in any order, is either rejected or can be reported.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use super::fixture;
use super::write::Report;
use crate::event::Record;
use crate::record::{RunModel, verdict_of};

/// Values that break careless arithmetic and formatting.
fn extremes() -> impl Strategy<Value = Value> {
    select(vec![
        json!(0),
        json!(1),
        json!(u32::MAX),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(-1),
        json!(1e308),
        json!(""),
        json!("\u{0}]]>\u{1B}[31m<b>|"),
        json!("9999-12-31T23:59:59Z"),
        json!("-009999-01-02T00:00:00Z"),
        json!([]),
        json!({}),
        Value::Null,
    ])
}

/// All values in `value` other than objects and lists with elements.
fn places<'v>(value: &'v mut Value, found: &mut Vec<&'v mut Value>) {
    if !value.is_object() && value.as_array().is_none_or(Vec::is_empty) {
        found.push(value);
        return;
    }
    match value {
        Value::Object(table) => table.values_mut().for_each(|value| places(value, found)),
        Value::Array(list) => list.iter_mut().for_each(|value| places(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn damaged_records_are_rejected_or_can_be_reported(
        changes in vec((any::<Index>(), any::<Index>(), extremes()), 0..8),
        order in vec((any::<Index>(), any::<Index>()), 0..4),
        repeated in vec(any::<Index>(), 0..4),
    ) {
        let mut records: Vec<Value> = fixture::mixed()
            .iter()
            .map(|record| serde_json::to_value(record).unwrap())
            .collect();
        for (record, place, value) in changes {
            let mut found = Vec::new();
            places(record.get_mut(&mut records), &mut found);
            *found.swap_remove(place.index(found.len())) = value;
        }
        for (one, other) in order {
            let (one, other) = (one.index(records.len()), other.index(records.len()));
            records.swap(one, other);
        }
        for record in repeated {
            records.push(record.get(&records).clone());
        }
        let records: Vec<Record> = records
            .into_iter()
            .filter_map(|record| serde_json::from_value(record).ok())
            .collect();
        let run = RunModel::new(&records);
        verdict_of(&run, true);
        for report in Report::ALL {
            report.render(&run);
        }
    }
}
