//! `[images]` and `[deploy]`. Also the keys for manifests, which the tables of axis values can have as well.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::keys::{Table, keys, table};
use super::shape::{Shape, boolean, list, map, name, path, text};
use crate::matrix::problem::Problem;
use crate::matrix::{Build, Deploy, ImageSource, Images, Manifests, SystemUnderTest};

/// `[images]`, and whether it replaces the mock.
pub(super) fn images(keys: &mut Table<'_>) -> (Images, bool) {
    let mut images = Images::default();
    keys! { keys;
        /// The agent: the system under test. By default, the program that comes with the runner.
        "agent": table("`[images.agent]`", system) => images.agent;
        /// The mock Central API. By default, the program that comes with the runner.
        "mock": table("`[images.mock]`", system) => images.mock;
    }
    (images, keys.get("mock").is_some())
}

/// `[images.agent]` or `[images.mock]`.
pub(super) fn system(keys: &mut Table<'_>) -> SystemUnderTest {
    let mut system = SystemUnderTest::default();
    keys! { keys;
        /// An image that exists locally or can be pulled. Exactly one of `image` and `build` is required.
        "image": image().map(ImageSource::Tag) => system.image;
        /// Builds the image.
        "build": table("`build`", build).map(ImageSource::Build) => system.image;
        /// The program that the local provider runs instead of the image. Without it, the image can't run there.
        "binary": path() => system.binary;
    }
    check_image_source(keys);
    system
}

/// Reports a table that has neither `image` nor `build`, or both.
fn check_image_source(table: &Table<'_>) {
    match (table.get("image"), table.get("build")) {
        (Some(image), Some(build)) => {
            let message = "`image` and `build` are mutually exclusive";
            let help = "remove one of them; a built image gets its own tag";
            let problem = Problem::at(build.key_span, message, help);
            let problem = problem.labelled("and this");
            let problem = problem.and_at(image.key_span, "this");
            table.document.report(problem);
        }
        (None, None) => {
            let message = format!("{} has neither `image` nor `build`", table.name);
            let help = "add `image = \"…\"` or `build = { … }`, or remove the table: without an image, clusters would run the reference program";
            table.report_missing(message, help);
        }
        (Some(_), None) | (None, Some(_)) => {}
    }
}

fn build(keys: &mut Table<'_>) -> Build {
    let (mut dockerfile, mut context, mut args) = (None, PathBuf::from("."), BTreeMap::new());
    keys! { keys;
        /// The Dockerfile; by default `Dockerfile` in the context.
        "dockerfile": path() => dockerfile;
        /// The folder that is sent to the engine as the build context.
        "context": path() => context;
        /// Build arguments.
        "args": map(text()) => args;
    }
    Build {
        dockerfile: dockerfile.unwrap_or_else(|| context.join("Dockerfile")),
        context,
        args,
    }
}

/// An image name with a tag or digest, such as `kindest/node:v1.36.3`.
pub(super) fn image() -> Shape<String> {
    name().matching(
        "^[A-Za-z0-9][A-Za-z0-9._/:@-]*$",
        "is not an image reference",
        "`[registry/]name[:tag][@digest]`, such as `kindest/node:v1.36.3`",
    )
}

/// The manifests, if the table sets any.
pub(super) fn manifests(keys: &mut Table<'_>) -> Option<Manifests> {
    let (mut manifests, mut chart, mut values) = (None, None, Vec::new());
    keys! { keys;
        /// The agent's manifests: a folder, a file or a kustomization in place of `deploy/kubernetes`.
        "manifests": path().map(Manifests::At) => manifests;
        /// A Helm chart in place of `manifests`: its folder or archive.
        "chart": path() => chart;
        /// Files with values for `chart`; later files take precedence.
        "values": list(path()) => values;
    }
    let given = ["manifests", "chart", "values"].map(|key| keys.get(key));
    match given {
        [Some(manifests), Some(_), _] => {
            let help = "keep the one that deploys the agent";
            manifests.fail("`manifests` and `chart` are mutually exclusive", help)
        }
        [_, None, Some(values)] => {
            let help = "add `chart = \"path/to/chart\"`, or remove `values`";
            values.fail("`values` has no effect without `chart`", help)
        }
        _ => {
            let chart = chart.map(|path| Manifests::Chart { path, values });
            chart.or(manifests)
        }
    }
}

/// `[deploy]`.
pub(super) fn deploy(keys: &mut Table<'_>) -> Deploy {
    let mut deploy = Deploy::default();
    if let Some(manifests) = manifests(keys) {
        deploy.manifests = manifests;
    }
    keys! { keys;
        /// The name of the agent's DaemonSet, if the manifests have several and none is called `plexd`.
        "daemonset": name() => deploy.daemon_set;
        /// A YAML file in place of [the base of the agent's configuration](#the-agents-configuration).
        "agent-config": path() => deploy.agent_config;
        /// The key of the configuration in the agent's ConfigMap, if [it isn't clear](#how-a-run-changes-your-manifests).
        "config-key": name() => deploy.config_key;
        /// A file or folder in place of `deploy/mock-api`.
        "mock": path() => deploy.mock;
        /// `false` removes the DaemonSet's probes, for an agent without health endpoints.
        "probes": boolean() => deploy.probes;
    }
    deploy
}
