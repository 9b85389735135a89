//! The fingerprint of a cluster identifies everything that it was created from. A cluster is reused only if a fresh
//! cluster would have the same fingerprint.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::config;
use super::node_image::NodeImage;
use super::provider::KindContext;
use crate::event::Failure;
use crate::matrix::Cell;

/// The version of the templates' format. Change it whenever clusters are created or frozen differently.
const TEMPLATE_FORMAT: u32 = 3;
/// How many bytes of the digest a template's id contains.
const TEMPLATE_ID_LENGTH: usize = 8;

/// The environment variables that kind passes on to the nodes.
const INHERITED: [&str; 4] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "KIND_EXPERIMENTAL_CONTAINERD_SNAPSHOTTER",
];

/// Everything that a cluster was created from, part by part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint([(&'static str, String); 5]);

impl Fingerprint {
    /// The fingerprint that a new cluster for `cell` with the node image `image` would have.
    pub(super) async fn of(
        shared: &KindContext,
        cell: &Cell,
        image: &NodeImage,
    ) -> Result<Self, Failure> {
        // The locations of patches and seal don't matter, and their contents come from this program.
        let file = config::without_run(cell, shared.options.fast_setup);
        let archives = shared.archives(cell).await?;
        let images = archives.iter().flat_map(|archive| &archive.images);
        let images = images.map(|image| json!([image.name, image.digest]));
        let images: Vec<_> = images.collect();
        let variable = |name: &str| std::env::var(name).ok();
        Ok(Self([
            ("node image", image.id.clone().unwrap_or_default()),
            ("kind configuration", file.to_string()),
            ("kind version", shared.kind_version().await?.clone()),
            ("environment", environment(variable)),
            ("images", json!(images).to_string()),
        ]))
    }

    /// The id of the template for such clusters. It doesn't depend on the images, because a template is usable without
    /// them.
    pub(super) fn template(&self) -> String {
        let [parts @ .., _images] = &self.0;
        let text = json!([TEMPLATE_FORMAT, parts]).to_string();
        hex::encode(&Sha256::digest(text)[..TEMPLATE_ID_LENGTH])
    }

    /// The parts that differ between the two fingerprints.
    pub(super) fn differences(&self, other: &Self) -> Vec<&'static str> {
        let parts = self.0.iter().zip(&other.0);
        let differing = parts.filter(|(own, others)| own != others);
        differing.map(|((part, _), _)| *part).collect()
    }
}

/// The values that kind passes on, given the value of each variable. For kind, the lower-case names mean the same.
fn environment(value: impl Fn(&str) -> Option<String>) -> String {
    let set = |name: &str| value(name).filter(|value| !value.is_empty());
    let values = INHERITED.map(|name| set(name).or_else(|| set(&name.to_lowercase())));
    json!(values).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(node_image: &str, version: &str, images: &str) -> Fingerprint {
        Fingerprint([
            ("node image", node_image.to_owned()),
            ("kind configuration", String::new()),
            ("kind version", version.to_owned()),
            ("environment", String::new()),
            ("images", images.to_owned()),
        ])
    }

    #[test]
    fn clusters_that_differ_only_in_images_have_the_same_template() {
        let of = |version: &str, images: &str| fingerprint("", version, images);
        assert_eq!(of("v1", "a").template(), of("v1", "b").template());
        assert_ne!(of("v1", "a").template(), of("v2", "a").template());
        assert_eq!(of("v1", "a").template().len(), 2 * TEMPLATE_ID_LENGTH);
    }

    #[test]
    fn a_cluster_depends_on_the_proxies_of_the_environment() {
        let with = |variable: &str, proxy: &str| {
            let value = |name: &str| (name == variable).then(|| proxy.to_owned());
            let mut fingerprint = fingerprint("", "v1", "");
            fingerprint.0[3].1 = environment(value);
            fingerprint.template()
        };
        let (none, proxy) = (with("HTTP_PROXY", ""), with("HTTP_PROXY", "http://a:3128"));
        assert_ne!(proxy, none);
        assert_ne!(proxy, with("HTTP_PROXY", "http://b:3128"));
        assert_ne!(proxy, with("HTTPS_PROXY", "http://a:3128"));
        assert_eq!(proxy, with("http_proxy", "http://a:3128"));
        assert_eq!(none, with("HOME", "/root"));
    }

    #[test]
    fn differences_are_listed() {
        let one = fingerprint("a", "v1", "");
        assert_eq!(one.differences(&one), [] as [&str; 0]);
        let other = fingerprint("b", "v2", "");
        assert_eq!(one.differences(&other), ["node image", "kind version"]);
    }
}
