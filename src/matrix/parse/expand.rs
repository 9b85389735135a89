//! From axes, excludes and includes to cells, in order. Expects tables that have been checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::axes::{Axes, Exclude, Include, MatrixTable};
use super::variants::{Named, ValueTable, VersionTable};
use crate::matrix::{
    Cell, CellId, ConfigName, Coordinate, KubernetesVersion, Layer, NodeCount, ValueName, Variant,
};

/// A point of the matrix, at which there may be a cell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point<'m> {
    kubernetes: KubernetesVersion,
    nodes: NodeCount,
    config: &'m ConfigName,
    /// The values on the further axes.
    further: Vec<&'m ValueName>,
}

impl Axes {
    /// The product of the axes in order: version, nodes, config, further axes.
    pub(super) fn points(&self) -> Vec<Point<'_>> {
        let versions = self.kubernetes.values.iter();
        let points = versions.flat_map(move |kubernetes| {
            self.nodes.values.iter().flat_map(move |nodes| {
                self.config.values.iter().map(move |config| Point {
                    kubernetes: kubernetes.value,
                    nodes: nodes.value,
                    config: &config.value,
                    further: Vec::new(),
                })
            })
        });
        let mut points: Vec<_> = points.collect();
        for further in &self.further {
            let values = &further.axis.values;
            let on_axis = points.iter().flat_map(|point| {
                values.iter().map(|value| {
                    let mut point = point.clone();
                    point.further.push(&value.value);
                    point
                })
            });
            points = on_axis.collect();
        }
        points
    }

    /// The number of points.
    pub(super) fn size(&self) -> usize {
        let further = self.further.iter().map(|further| &further.axis.values);
        further.fold(
            self.kubernetes
                .values
                .len()
                .saturating_mul(self.nodes.values.len())
                .saturating_mul(self.config.values.len()),
            |size, values| size.saturating_mul(values.len()),
        )
    }

    /// Whether every value of every axis could be read.
    pub(super) fn are_complete(&self) -> bool {
        self.kubernetes.complete
            && self.nodes.complete
            && self.config.complete
            && self.further.len() == self.keys.len()
            && self.further.iter().all(|further| further.axis.complete)
    }

    pub(super) fn id(&self, point: &Point<'_>) -> CellId {
        let id = CellId::new(point.kubernetes, point.nodes, point.config);
        self.coordinates(point)
            .fold(id, |id, coordinate| id.at(&coordinate))
    }

    fn coordinates<'p>(&'p self, point: &'p Point<'_>) -> impl Iterator<Item = Coordinate> + 'p {
        let names = self.further.iter().map(|further| &further.name);
        let values = point.further.iter();
        names
            .zip(values)
            .map(|(name, value)| Coordinate::new(name, value))
    }
}

impl Exclude {
    pub(super) fn matches(&self, point: &Point<'_>) -> bool {
        let kubernetes = self.kubernetes.as_ref();
        let nodes = self.nodes.as_ref();
        let config = self.config.as_ref();
        let further = self.further.iter().zip(&point.further);
        let mut further = further.filter_map(|(own, value)| Some((own.as_ref()?, value)));
        kubernetes.is_none_or(|version| version.value == point.kubernetes)
            && nodes.is_none_or(|nodes| nodes.value == point.nodes)
            && config.is_none_or(|config| config.value == *point.config)
            && further.all(|(own, value)| own.value == **value)
    }
}

impl Include {
    pub(super) fn point(&self) -> Point<'_> {
        Point {
            kubernetes: self.kubernetes.value,
            nodes: self.nodes.value,
            config: &self.config.value,
            further: self.further.iter().map(|value| &value.value).collect(),
        }
    }

    /// Whether it changes a cell that exists without it.
    pub(super) fn changes_the_cell(&self) -> bool {
        !self.tags.is_empty() || self.allow_failure.is_some()
    }
}

/// The cells of a matrix. The tables of `values` are those of `config`, then those of each further axis.
pub(super) fn cells(
    matrix: &MatrixTable,
    versions: &[VersionTable],
    values: &[Named<ValueTable>],
) -> Vec<Cell> {
    let mut includes: BTreeMap<_, _> = matrix
        .includes
        .iter()
        .map(|include| (include.point(), include))
        .collect();
    let mut tables = Tables::new(&matrix.axes, versions, values);
    let excluded = |point: &Point<'_>| matrix.excludes.iter().any(|exclude| exclude.matches(point));
    let points = matrix.axes.points();
    let points = points.into_iter().filter(|point| !excluded(point));
    let mut cells: Vec<Cell> = points
        .map(|point| {
            let include = includes.remove(&point);
            tables.cell(&point, include)
        })
        .collect();
    let added = matrix
        .includes
        .iter()
        .filter(|include| includes.contains_key(&include.point()));
    cells.extend(added.map(|include| tables.cell(&include.point(), Some(include))));
    cells
}

/// The tables that apply to a cell's version and values.
struct Tables<'m> {
    axes: &'m Axes,
    versions: BTreeMap<KubernetesVersion, &'m VersionTable>,
    /// The tables of each axis, by value.
    values: Vec<BTreeMap<&'m str, &'m ValueTable>>,
    /// The merged tables, which many cells share.
    merged: BTreeMap<Vec<&'m str>, Merged>,
}

/// What the tables of a cell's values set, separately and merged.
type Merged = (Arc<[Layer]>, Arc<Variant>);

impl<'m> Tables<'m> {
    fn new(axes: &'m Axes, versions: &'m [VersionTable], values: &'m [Named<ValueTable>]) -> Self {
        let versions = versions.iter().map(|table| (table.version.value, table));
        let by_name = |named: &'m Named<ValueTable>| {
            let tables = named.tables.iter();
            tables.map(|table| (&*table.name.value, table)).collect()
        };
        Self {
            axes,
            versions: versions.collect(),
            values: values.iter().map(by_name).collect(),
            merged: BTreeMap::new(),
        }
    }

    fn cell(&mut self, point: &Point<'m>, include: Option<&Include>) -> Cell {
        let version = self.versions.get(&point.kubernetes);
        let further = point.further.iter().map(|value| value.as_str());
        let names = std::iter::once(point.config.as_str()).chain(further);
        let names: Vec<&str> = names.collect();
        let tables = names.iter().zip(&self.values);
        let tables: Vec<&ValueTable> = tables
            .filter_map(|(name, tables)| tables.get(name).copied())
            .collect();
        let reaches = || {
            let version = version.map(|table| &table.reach).into_iter();
            version.chain(tables.iter().map(|table| &table.reach))
        };
        let inherited = reaches().flat_map(|reach| &reach.tags);
        let own = include.into_iter().flat_map(|include| &include.tags);
        let allow_failure = include.and_then(|include| include.allow_failure);
        let (layers, variant) = self.merged.entry(names).or_insert_with(|| {
            let layers = tables.iter().map(|table| table.layer.clone());
            let layers: Arc<[Layer]> = layers.collect();
            let variant = Variant::merged(&layers);
            (layers, variant)
        });
        Cell {
            id: self.axes.id(point),
            kubernetes: point.kubernetes,
            nodes: point.nodes,
            config: point.config.clone(),
            axes: self.axes.coordinates(point).collect(),
            layers: Arc::clone(layers),
            variant: Arc::clone(variant),
            tags: inherited.chain(own).cloned().collect(),
            allow_failure: allow_failure
                .unwrap_or_else(|| reaches().any(|reach| reach.allow_failure)),
            node_image: version.and_then(|table| table.image.clone()),
        }
    }
}
