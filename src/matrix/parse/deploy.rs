//! `[images]` and `[deploy]`, and the manifests that the table of a value may name as well.

use std::path::PathBuf;

use super::keys::{Keys, keys};
use super::reader::Table;
use super::shape::{Shape, boolean, list, map, name, path, text};
use crate::matrix::problem::Problem;
use crate::matrix::{Build, Deploy, ImageSource, Images, Manifests, SystemUnderTest};

/// The keys of `[images]`.
pub(super) fn images() -> Keys<Images> {
    keys! { Keys::<Images>::new();
        /// The agent: the system under test. Without this table, it is the program that comes with the runner.
        "agent": system_table("agent") => agent;
        /// The mock Central API. Without this table, it is the program that comes with the runner.
        "mock": system_table("mock") => mock;
    }
}

/// `[images.agent]` or `[images.mock]`.
#[derive(Clone, Default)]
pub(super) struct System {
    image: Option<String>,
    build: Option<Build>,
    binary: Option<PathBuf>,
}

/// The keys of `[images.agent]` and `[images.mock]`.
pub(super) fn system() -> Keys<System> {
    keys! { Keys::<System>::new();
        /// An image that exists locally or can be pulled. Either this or `build` is required.
        "image": image() => image;
        /// Builds the image.
        "build": build() => build;
        /// The program that the local provider runs instead of the image. Without it, the image can't run there.
        "binary": path() => binary;
    }
}

fn system_table(key: &'static str) -> Shape<SystemUnderTest> {
    system().table(format!("`[images.{key}]`"), move |system, table| {
        has_one_image(key, table);
        let tag = system.image.map(ImageSource::Tag);
        let image = tag.or(system.build.map(ImageSource::Build));
        SystemUnderTest {
            image: image.unwrap_or_default(),
            binary: system.binary,
        }
    })
}

fn has_one_image(key: &str, table: &Table<'_>) {
    match (table.get("image"), table.get("build")) {
        (Some(image), Some(build)) => {
            let message = "`image` and `build` exclude each other";
            let problem = Problem::at(build.key_span, message, "and this");
            let problem = problem.and_at(image.key_span, "this");
            let help = "remove one of them: a built image gets its own tag";
            table.report.add(problem.with_help(help));
        }
        (None, None) => {
            let message = format!("`[images.{key}]` names no image");
            let help = "add `image = \"…\"` or `build = { … }`: clusters would run the reference program otherwise; or leave the table out";
            let problem = Problem::at(table.span, message, "");
            table.report.add_missing(problem.with_help(help));
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
}

#[derive(Clone, Default)]
struct BuildTable {
    dockerfile: Option<PathBuf>,
    context: PathBuf,
    args: Vec<(String, String)>,
}

fn build() -> Shape<Build> {
    let default = BuildTable {
        context: ".".into(),
        ..BuildTable::default()
    };
    let keys = keys! { Keys::of(default);
        /// The Dockerfile; by default `Dockerfile` in the context.
        "dockerfile": path() => dockerfile;
        /// The folder that is sent to the engine.
        "context": path() => context;
        /// Build arguments.
        "args": map(text()) => args;
    };
    keys.table("`build`", |build, _| {
        let dockerfile = build.dockerfile;
        Build {
            dockerfile: dockerfile.unwrap_or_else(|| build.context.join("Dockerfile")),
            context: build.context,
            args: build.args.into_iter().collect(),
        }
    })
}

/// An image name with a tag or digest, such as `kindest/node:v1.36.3`.
pub(super) fn image() -> Shape<String> {
    name().matching(
        "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$",
        "is not an image reference",
        "`[registry/]name[:tag][@digest]`, such as `kindest/node:v1.36.3`",
    )
}

/// What `manifests`, `chart` and `values` say.
#[derive(Clone, Default)]
pub(super) struct Source {
    manifests: Option<PathBuf>,
    chart: Option<PathBuf>,
    values: Vec<PathBuf>,
}

impl Source {
    pub(super) fn keys() -> Keys<Self> {
        keys! { Keys::<Self>::new();
            /// The agent's manifests: a folder, a file or a kustomization in place of `deploy/kubernetes`.
            "manifests": path() => manifests;
            /// A Helm chart in place of `manifests`: its folder or archive.
            "chart": path() => chart;
            /// Files with values for `chart`; each one overrides those before it.
            "values": list(path()) => values;
        }
    }

    /// The manifests, if `table` names any.
    pub(super) fn manifests(self, table: &Table<'_>) -> Option<Manifests> {
        let [manifests, chart, values] = ["manifests", "chart", "values"].map(|key| table.get(key));
        if let (Some(manifests), Some(_)) = (manifests, chart) {
            let help = "keep the one from which the agent is deployed";
            return manifests.fail("`manifests` and `chart` exclude each other", "", help);
        }
        if let (Some(values), None) = (values, chart) {
            let help = "add `chart = \"path/to/chart\"`, or remove `values`";
            return values.fail("`values` has no effect without `chart`", "", help);
        }
        let values = self.values;
        let chart = self.chart.map(|path| Manifests::Chart { path, values });
        chart.or(self.manifests.map(Manifests::At))
    }
}

#[derive(Clone, Default)]
pub(super) struct DeployTable {
    deploy: Deploy,
    source: Source,
}

/// The keys of `[deploy]`.
pub(super) fn deploy() -> Keys<DeployTable> {
    let source = Keys::new().with(Source::keys(), |table: &mut DeployTable| &mut table.source);
    keys! { source;
        /// The name of the agent's DaemonSet, if the manifests have several and none of them is called `plexd`.
        "daemonset": name() => deploy.daemon_set;
        /// A YAML file in place of [the base of the agent's configuration](#the-agents-configuration).
        "agent-config": path() => deploy.agent_config;
        /// A file or folder in place of `deploy/mock-api`.
        "mock": path() => deploy.mock;
        /// `false` removes the DaemonSet's probes, for an agent without health endpoints.
        "probes": boolean() => deploy.probes;
    }
}

impl DeployTable {
    pub(super) fn finish(mut self, table: &Table<'_>) -> Deploy {
        if let Some(manifests) = self.source.manifests(table) {
            self.deploy.manifests = manifests;
        }
        self.deploy
    }
}
