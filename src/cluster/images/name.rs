//! The names of images. They are computed from the content, without an engine or a cluster.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::Role;
use super::context;
use super::rootfs::Rootfs;
use crate::event::Failure;
use crate::manifest::PullPolicy;
use crate::matrix::{Cell, ImageSource, Images};

/// How many characters of a hash an image's tag contains.
const HASH_LENGTH: usize = 16;

/// The names of the images in the engine, on nodes and in manifests. The local provider uses no images and puts a
/// description here instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageNames {
    /// The name of the agent's image.
    pub agent: String,
    /// The name of the mock's image.
    pub mock: String,
    /// When nodes pull the images.
    pub pull: PullPolicy,
}

/// The names of the images in `images`, which are loaded onto every node. Paths in `images` are relative to `base`;
/// `runner` is the binary that reference images contain.
pub fn image_names(images: &Images, base: &Path, runner: &Path) -> Result<ImageNames, Failure> {
    let is_reference = |source: &ImageSource| *source == ImageSource::Reference;
    let reference = if is_reference(&images.agent.image) || is_reference(&images.mock.image) {
        Rootfs::of(runner)?.digest()?
    } else {
        String::new()
    };
    let name = |role, source| name(role, source, base, &reference);
    Ok(ImageNames {
        agent: name(Role::Agent, &images.agent.image)?,
        mock: name(Role::Mock, &images.mock.image)?,
        pull: PullPolicy::Never,
    })
}

impl ImageNames {
    /// The names for `cell`, whose variant may specify another agent image.
    pub(crate) fn of(&self, cell: &Cell) -> Self {
        let program = cell.variant.program.as_ref();
        let image = program.and_then(|program| program.image.as_deref());
        Self {
            agent: image.map_or_else(|| self.agent.clone(), |tag| of_tag(Role::Agent, tag)),
            ..self.clone()
        }
    }
}

fn of_tag(role: Role, tag: &str) -> String {
    if tag.contains('@') {
        // An archive doesn't preserve a digest, so the image gets a tag with a hash of its full name.
        tagged(role, &hex::encode(Sha256::digest(tag)))
    } else {
        tag.to_owned()
    }
}

fn name(role: Role, source: &ImageSource, base: &Path, reference: &str) -> Result<String, Failure> {
    match source {
        ImageSource::Tag(tag) => Ok(of_tag(role, tag)),
        ImageSource::Reference => Ok(tagged(role, reference)),
        ImageSource::Build(build) => {
            let mut hash = Sha256::new();
            for (key, value) in &build.args {
                hash.update(format!("{key}={value}\n"));
            }
            hash.update(Sha256::digest(context::archive(base, build)?));
            Ok(tagged(role, &hex::encode(hash.finalize())))
        }
    }
}

fn tagged(role: Role, hash: &str) -> String {
    let hash = hash.get(..HASH_LENGTH).unwrap_or(hash);
    format!("e2e-matrix/{}:{hash}", role.name())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::matrix::{Build, SystemUnderTest};

    fn from(image: ImageSource) -> SystemUnderTest {
        SystemUnderTest {
            image,
            binary: None,
        }
    }

    #[test]
    fn a_tag_is_the_name_and_a_reference_image_is_named_by_its_content() {
        let images = Images {
            agent: from(ImageSource::Tag("registry.example/plexd:1.4".to_owned())),
            mock: from(ImageSource::Reference),
        };
        let runner = std::env::current_exe().unwrap();
        let names = image_names(&images, Path::new("."), &runner).unwrap();
        assert_eq!(names.agent, "registry.example/plexd:1.4");
        let hash = names.mock.strip_prefix("e2e-matrix/mock:").unwrap();
        assert_eq!(hash.len(), HASH_LENGTH);
        assert_eq!(
            image_names(&images, Path::new("."), &runner).unwrap(),
            names
        );
    }

    #[test]
    fn an_image_that_is_pinned_by_digest_gets_a_tag() {
        let pinned = ImageSource::Tag("registry.example/plexd:1.4@sha256:0123".to_owned());
        let name = name(Role::Agent, &pinned, Path::new("."), "").unwrap();
        assert!(name.starts_with("e2e-matrix/agent:"), "{name}");
    }

    #[test]
    fn a_built_image_is_named_by_context_and_arguments() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Dockerfile"), "FROM scratch\n").unwrap();
        let named = |value: &str| {
            let build = Build {
                dockerfile: "Dockerfile".into(),
                context: ".".into(),
                args: BTreeMap::from([("A".to_owned(), value.to_owned())]),
            };
            name(Role::Agent, &ImageSource::Build(build), folder.path(), "").unwrap()
        };
        let one = named("1");
        assert_eq!(named("1"), one);
        assert_ne!(named("2"), one);
        std::fs::write(folder.path().join("more"), "content").unwrap();
        assert_ne!(named("1"), one);
    }
}
