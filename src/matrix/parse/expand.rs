//! From axes, excludes and includes to the cells, in their order. Expects tables that were checked.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::axes::{Axes, Exclude, Include, MatrixTable};
use super::variants::{VariantTable, VersionTable};
use crate::matrix::{Cell, CellId, ConfigName, KubernetesVersion, NodeCount, Variant};

/// A place in the matrix, where a cell may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Point<'m> {
    kubernetes: KubernetesVersion,
    nodes: NodeCount,
    config: &'m ConfigName,
}

impl Point<'_> {
    pub(super) fn id(&self) -> CellId {
        CellId::new(self.kubernetes, self.nodes, self.config)
    }
}

impl Axes {
    /// The product of the axes, in order: version, then nodes, then config.
    pub(super) fn points(&self) -> impl Iterator<Item = Point<'_>> {
        self.kubernetes.values.iter().flat_map(move |kubernetes| {
            self.nodes.values.iter().flat_map(move |nodes| {
                self.config.values.iter().map(move |config| Point {
                    kubernetes: kubernetes.value,
                    nodes: nodes.value,
                    config: &config.value,
                })
            })
        })
    }

    /// How many points there are.
    pub(super) fn size(&self) -> usize {
        let (nodes, config) = (self.nodes.values.len(), self.config.values.len());
        self.kubernetes
            .values
            .len()
            .saturating_mul(nodes)
            .saturating_mul(config)
    }

    /// Whether every value of every axis could be read.
    pub(super) fn are_complete(&self) -> bool {
        self.kubernetes.complete && self.nodes.complete && self.config.complete
    }
}

impl Exclude {
    pub(super) fn matches(&self, point: &Point<'_>) -> bool {
        let kubernetes = self.kubernetes.as_ref();
        let nodes = self.nodes.as_ref();
        let config = self.config.as_ref();
        kubernetes.is_none_or(|version| version.value == point.kubernetes)
            && nodes.is_none_or(|nodes| nodes.value == point.nodes)
            && config.is_none_or(|config| config.value == *point.config)
    }
}

impl Include {
    pub(super) fn point(&self) -> Point<'_> {
        Point {
            kubernetes: self.kubernetes.value,
            nodes: self.nodes.value,
            config: &self.config.value,
        }
    }

    /// Whether it says anything about a cell that is there without it.
    pub(super) fn changes_the_cell(&self) -> bool {
        !self.tags.is_empty() || self.allow_failure.is_some()
    }
}

/// The cells of a matrix.
pub(super) fn cells(
    matrix: &MatrixTable,
    versions: &[VersionTable],
    variants: &[VariantTable],
) -> Vec<Cell> {
    let mut includes: BTreeMap<_, _> = matrix
        .includes
        .iter()
        .map(|include| (include.point(), include))
        .collect();
    let tables = Tables::new(versions, variants);
    let excluded = |point: &Point<'_>| matrix.excludes.iter().any(|exclude| exclude.matches(point));
    let points = matrix.axes.points().filter(|point| !excluded(point));
    let mut cells: Vec<Cell> = points
        .map(|point| tables.cell(point, includes.remove(&point)))
        .collect();
    let added = matrix
        .includes
        .iter()
        .filter(|include| includes.contains_key(&include.point()));
    cells.extend(added.map(|include| tables.cell(include.point(), Some(include))));
    cells
}

/// What reaches a cell from its version and its config.
struct Tables<'m> {
    versions: BTreeMap<KubernetesVersion, &'m VersionTable>,
    variants: BTreeMap<&'m ConfigName, &'m VariantTable>,
    /// The variant `default`, where no table changes it.
    seed: Arc<Variant>,
}

impl<'m> Tables<'m> {
    fn new(versions: &'m [VersionTable], variants: &'m [VariantTable]) -> Self {
        let versions = versions.iter().map(|table| (table.version.value, table));
        let variants = variants.iter().map(|table| (&table.variant.name, table));
        Self {
            versions: versions.collect(),
            variants: variants.collect(),
            seed: Arc::default(),
        }
    }

    fn cell(&self, point: Point<'_>, include: Option<&Include>) -> Cell {
        let version = self.versions.get(&point.kubernetes);
        let variant = self.variants.get(point.config);
        let reaches = [
            version.map(|table| &table.reach),
            variant.map(|table| &table.reach),
        ];
        let reaches = || reaches.into_iter().flatten();
        let inherited = reaches().flat_map(|reach| &reach.tags);
        let own = include.into_iter().flat_map(|include| &include.tags);
        let allow_failure = include.and_then(|include| include.allow_failure);
        Cell {
            id: point.id(),
            kubernetes: point.kubernetes,
            nodes: point.nodes,
            variant: Arc::clone(variant.map_or(&self.seed, |table| &table.variant)),
            tags: inherited.chain(own).cloned().collect(),
            allow_failure: allow_failure
                .unwrap_or_else(|| reaches().any(|reach| reach.allow_failure)),
            node_image: version.and_then(|table| table.image.clone()),
        }
    }
}
