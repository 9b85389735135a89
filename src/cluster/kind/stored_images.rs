//! Images in the engine: found by label, and removed.

use std::collections::HashMap;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ImageSummary;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};

use super::destroy::engine_failed;
use super::nodes::is_missing;
use crate::event::Failure;

/// The images with `label`, which is a name, or a name and a value.
pub(super) async fn with_label(docker: &Docker, label: &str) -> Result<Vec<ImageSummary>, Failure> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let images = docker.list_images(Some(options)).await;
    images.map_err(engine_failed)
}

/// The names of an image, by which it can be removed although a container uses it; its id if it has none.
pub(super) fn names(mut image: ImageSummary) -> Vec<String> {
    // An engine may list an image without a name as `<none>:<none>`.
    image.repo_tags.retain(|name| !name.contains("<none>"));
    if image.repo_tags.is_empty() {
        vec![image.id]
    } else {
        image.repo_tags
    }
}

/// Removes an image. Returns whether it is gone: an image that a container uses stays. With `force`, such an image loses
/// its name, and is removed with the next `docker image prune`.
pub(super) async fn remove(docker: &Docker, name: &str, force: bool) -> Result<bool, Failure> {
    let options = RemoveImageOptionsBuilder::new().force(force).build();
    match docker.remove_image(name, Some(options), None).await {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(true),
        Err(Error::DockerResponseServerError {
            status_code: 409, ..
        }) => Ok(false),
        Err(error) => Err(engine_failed(error)),
    }
}
