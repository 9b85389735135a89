//! Expands axes, excludes and includes into cells, in order. The tables must already have been checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Draft;
use super::axes::{AxisValue, Combination, MatrixTable};
use super::variants::ValueTable;
use crate::matrix::{
    Cell, CellId, ConfigName, Coordinate, KubernetesVersion, Layer, NodeCount, Variant,
};

/// A point of the matrix: a value on each axis. Not every point has a cell.
pub(super) type Point<'m> = Vec<&'m AxisValue>;

/// A point that has a cell, and the point's include, if it has one.
pub(super) type Selected<'m> = (Point<'m>, Option<&'m Combination>);

impl MatrixTable {
    /// All points: the product of the axes, in the order of the axes.
    pub(super) fn points(&self) -> Vec<Point<'_>> {
        let axes = self.axes.iter();
        axes.fold(vec![Vec::new()], |points, (_, values)| {
            let longer = points.iter().flat_map(|point| {
                let values = values.list.iter();
                values.map(move |value| [&**point, &[&value.value]].concat())
            });
            longer.collect()
        })
    }

    /// The number of points.
    pub(super) fn size(&self) -> usize {
        let counts = self.axes.iter().map(|(_, values)| values.list.len());
        counts.fold(1, usize::saturating_mul)
    }
}

/// The values of a point, with their types.
type Typed<'p> = (
    KubernetesVersion,
    NodeCount,
    &'p ConfigName,
    Vec<Coordinate>,
);

fn typed<'p>(point: &[&'p AxisValue]) -> Typed<'p> {
    let [
        AxisValue::Kubernetes(kubernetes),
        AxisValue::Nodes(nodes),
        AxisValue::Config(config),
        further @ ..,
    ] = point
    else {
        unreachable!("every matrix has these axes first")
    };
    let further = further.iter().filter_map(|value| match value {
        AxisValue::Further(coordinate) => Some(coordinate.clone()),
        AxisValue::Kubernetes(_) | AxisValue::Nodes(_) | AxisValue::Config(_) => None,
    });
    (*kubernetes, *nodes, config, further.collect())
}

/// The id of the cell at `point`.
pub(super) fn id(point: &[&AxisValue]) -> CellId {
    let (kubernetes, nodes, config, further) = typed(point);
    CellId::new(kubernetes, nodes, config).with(&further)
}

/// The cells at the selected points.
pub(super) fn cells(draft: &Draft, selected: &[Selected<'_>]) -> Vec<Cell> {
    let tables = draft.values.values().flat_map(|values| &values.list);
    let mut tables = Tables {
        tables: tables.map(|(value, table)| (&value.value, table)).collect(),
        merged: BTreeMap::new(),
    };
    let selected = selected.iter();
    let cells = selected.map(|(point, include)| tables.cell(point, *include));
    cells.collect()
}

/// The tables of axis values.
struct Tables<'m> {
    tables: BTreeMap<&'m AxisValue, &'m ValueTable>,
    /// The merged tables, by the values of `config` and the further axes. Many cells share them.
    merged: BTreeMap<Point<'m>, Merged>,
}

/// The settings from the tables of a cell's values: separately, and merged.
type Merged = (Arc<[Layer]>, Arc<Variant>);

impl<'m> Tables<'m> {
    fn cell(&mut self, point: &Point<'m>, include: Option<&Combination>) -> Cell {
        let tables = point
            .iter()
            .filter_map(|value| self.tables.get(value).copied());
        let tables: Vec<&ValueTable> = tables.collect();
        let settings = || tables.iter().map(|table| &table.settings);
        let own = include.and_then(|include| include.settings.as_ref());
        let tags = settings().chain(own).flat_map(|settings| &settings.tags);
        let allow_failure = own.and_then(|settings| settings.allow_failure);
        let (layers, variant) = self.merged.entry(point[2..].to_vec()).or_insert_with(|| {
            let layers = tables.iter().filter_map(|table| table.layer.clone());
            let layers: Arc<[Layer]> = layers.collect();
            let variant = Variant::merged(&layers);
            (layers, variant)
        });
        let (kubernetes, nodes, config, axes) = typed(point);
        Cell {
            id: id(point),
            kubernetes,
            nodes,
            config: config.clone(),
            axes,
            layers: Arc::clone(layers),
            variant: Arc::clone(variant),
            tags: tags.cloned().collect(),
            allow_failure: allow_failure
                .unwrap_or_else(|| settings().any(|settings| settings.allow_failure == Some(true))),
            node_image: tables.iter().find_map(|table| table.node_image.clone()),
        }
    }
}
