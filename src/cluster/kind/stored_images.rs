//! Images in the engine: finds them by label, and deletes them.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::ImageSummary;
use bollard::query_parameters::{ListImagesOptionsBuilder, RemoveImageOptionsBuilder};

use super::nodes::is_gone;
use crate::event::Failure;

/// The images with `label`, which is a name, or a name and a value.
pub(super) async fn with_label(docker: &Docker, label: &str) -> Result<Vec<ImageSummary>, Failure> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    Ok(docker.list_images(Some(options)).await?)
}

/// The names of an image, or its id if it has no name. An image can be deleted by name even if a container uses it.
pub(super) fn names(mut image: ImageSummary) -> Vec<String> {
    // An engine may list an image without a name as `<none>:<none>`.
    image.repo_tags.retain(|name| !name.contains("<none>"));
    if image.repo_tags.is_empty() {
        vec![image.id]
    } else {
        image.repo_tags
    }
}

/// Deletes an image. Returns whether it is gone: an image that a container uses stays. With `force`, such an image only
/// loses its name, and the next `docker image prune` deletes it.
pub(super) async fn delete(docker: &Docker, name: &str, force: bool) -> Result<bool, Failure> {
    let options = RemoveImageOptionsBuilder::new().force(force).build();
    is_gone(docker.remove_image(name, Some(options), None).await)
}
