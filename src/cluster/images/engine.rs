//! Images in the container engine. A missing image is loaded, built or pulled, and then archived. If several processes
//! need it, one of them does this for all.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    BuildImageOptionsBuilder, CreateImageOptionsBuilder, ImportImageOptions, TagImageOptionsBuilder,
};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use tokio_util::io::ReaderStream;

use super::archive::{Archive, prune};
use super::context;
use super::rootfs::Rootfs;
use super::{ImageNames, LABEL, LOCK, Role, inaccessible};
use crate::error::chain;
use crate::event::{Failure, Symptom};
use crate::machine::{Lock, StateFolder, replace_private};
use crate::matrix::{Build, ImageSource, Images};

/// Ensures that both images in `images` are in the engine under their `names`, and returns the one or two archives that
/// contain them. Paths are relative to `base`, and `runner` is the binary that reference images contain. If several
/// processes call this at once, one of them does the work.
pub async fn ensure(
    docker: &Docker,
    state: &StateFolder,
    images: &Images,
    base: &Path,
    runner: &Path,
    names: &ImageNames,
) -> Result<Vec<Archive>, Failure> {
    let _lock = Lock::take(&state.lock(LOCK)).await?;
    let cache = state.cache();
    let mut reference = Vec::new();
    let mut archives = Vec::new();
    for (role, source, name) in [
        (Role::Agent, &images.agent.image, names.agent.as_str()),
        (Role::Mock, &images.mock.image, names.mock.as_str()),
    ] {
        match source {
            ImageSource::Reference => {
                reference.push((role, name.to_owned()));
                continue;
            }
            ImageSource::Tag(source) => {
                if image_id(docker, source).await?.is_none() {
                    pull(docker, source, Symptom::ImagePullFailed).await?;
                }
                if source != name {
                    tag(docker, source, name).await?;
                }
            }
            ImageSource::Build(definition) => {
                if image_id(docker, name).await?.is_none() {
                    build(docker, base, definition, role, name).await?;
                }
            }
        }
        archives.push(export(docker, &cache, name).await?);
    }
    if !reference.is_empty() {
        archives.push(reference_archive(docker, &cache, runner, &reference).await?);
    }
    prune(&cache).map_err(|error| inaccessible(&cache, chain(&error)))?;
    Ok(archives)
}

/// Adds a name to the image `source`.
async fn tag(docker: &Docker, source: &str, name: &str) -> Result<(), Failure> {
    let (repo, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
    let options = TagImageOptionsBuilder::new().repo(repo).tag(tag).build();
    let tagged = docker.tag_image(source, Some(options)).await;
    tagged.map_err(|error| build_failed(source, &error))
}

/// The id of the engine's image with this name; `None` if there is none.
async fn image_id(docker: &Docker, name: &str) -> Result<Option<String>, Failure> {
    let image = absent_is_none(docker.inspect_image(name).await)?;
    Ok(image.map(|image| image.id.unwrap_or_default()))
}

/// The engine's answer; `None` if the object doesn't exist.
pub(crate) fn absent_is_none<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// The archive of the reference images. Creates it if it doesn't exist, and loads it into the engine if an image is
/// missing there.
async fn reference_archive(
    docker: &Docker,
    cache: &Path,
    runner: &Path,
    named: &[(Role, String)],
) -> Result<Archive, Failure> {
    let names = named.iter().map(|(_, name)| name.as_str());
    let path = cache.join(format!("{}.tar", key(names)));
    let (runner, copy) = (runner.to_owned(), named.to_vec());
    let archive = blocking(move || {
        if let Some(archive) = Archive::open(&path)? {
            return Ok(archive);
        }
        Archive::write(&path, &Rootfs::of(&runner)?, &copy)?;
        Archive::open(&path)?.ok_or_else(|| inaccessible(&path, "another process deleted it"))
    })
    .await?;
    for (_, name) in named {
        if image_id(docker, name).await?.is_none() {
            load(docker, &archive.path).await?;
        }
    }
    Ok(archive)
}

/// Runs `work`, which accesses files, on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            let message = format!("failed to prepare the images: {error}");
            Err(Failure::new(Symptom::ImageBuildFailed, message))
        }
    }
}

/// The file name of the archive of `names`.
fn key<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let mut hash = Sha256::new();
    for name in names {
        hash.update(name);
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

async fn load(docker: &Docker, archive: &Path) -> Result<(), Failure> {
    let file = tokio::fs::File::open(archive).await;
    let file = file.map_err(|error| inaccessible(archive, chain(&error)))?;
    let body = ReaderStream::with_capacity(file, 1 << 18);
    let responses = docker.import_image_stream(ImportImageOptions::default(), body, None);
    responses
        .try_for_each(|_| async { Ok(()) })
        .await
        .map_err(|error| build_failed(&archive.display().to_string(), &error))
}

fn build_failed(what: &str, error: &Error) -> Failure {
    let why = chain(error);
    let message = format!("the container engine failed to create an image from {what}: {why}");
    Failure::new(Symptom::ImageBuildFailed, message)
}

/// Pulls the image `name`. If the pull fails, the failure has the symptom `symptom`.
pub async fn pull(docker: &Docker, name: &str, symptom: Symptom) -> Result<(), Failure> {
    let options = CreateImageOptionsBuilder::new().from_image(name).build();
    let progress = docker.create_image(Some(options), None, None);
    let pulling = progress.try_for_each(|progress| async move {
        if let Some(status) = progress.status {
            tracing::debug!(image = name, status, "pulling");
        }
        Ok(())
    });
    pulling.await.map_err(|error| {
        let why = chain(&error);
        let message = format!("the image {name} does not exist locally and can't be pulled: {why}");
        let remedy = format!("check that `docker pull {name}` works, or build the image locally");
        Failure::new(symptom, message).with_remedy(remedy)
    })
}

async fn build(
    docker: &Docker,
    base: &Path,
    definition: &Build,
    role: Role,
    name: &str,
) -> Result<(), Failure> {
    let (base, copy) = (base.to_owned(), definition.clone());
    let context = blocking(move || context::archive(&base, &copy)).await?;
    let arguments: HashMap<_, _> = definition.args.clone().into_iter().collect();
    let options = BuildImageOptionsBuilder::new()
        .dockerfile(context::DOCKERFILE)
        .t(name)
        .rm(true)
        .forcerm(true)
        .buildargs(&arguments)
        .labels(&HashMap::from([(LABEL, role.name())]))
        .build();
    let what = definition.dockerfile.display().to_string();
    let mut output = Vec::new();
    let body = bollard::body_full(context.into());
    let mut responses = docker.build_image(options, None, Some(body));
    while let Some(response) = responses.next().await {
        match response {
            Ok(info) => output.extend(info.stream.map(|line| line.trim_end().to_owned())),
            Err(error) => return Err(build_failed(&what, &error).with_log("image build", output)),
        }
    }
    Ok(())
}

/// The archive of the engine's image `name`. Creates it if it doesn't exist.
async fn export(docker: &Docker, cache: &Path, name: &str) -> Result<Archive, Failure> {
    // A tag can move to another image, so the archive's name also identifies the image.
    let id = image_id(docker, name).await?.unwrap_or_default();
    let path = cache.join(format!("{}.tar", key([name, id.as_str()].into_iter())));
    if let Some(archive) = Archive::open(&path)? {
        return Ok(archive);
    }
    write_export(docker, name, &path).await?;
    Archive::open(&path)?.ok_or_else(|| inaccessible(&path, "another process deleted it"))
}

async fn write_export(docker: &Docker, name: &str, path: &Path) -> Result<(), Failure> {
    let (send, mut receive) = tokio::sync::mpsc::channel::<Chunk>(16);
    let target: PathBuf = path.to_owned();
    let writing = blocking(move || {
        let write = |file: &mut std::fs::File| loop {
            match receive.blocking_recv() {
                Some(Chunk::Bytes(bytes)) => file.write_all(&bytes)?,
                Some(Chunk::End) => return Ok(()),
                None => {
                    let why = "the container engine closed the connection";
                    return Err(io::Error::other(why));
                }
            }
        };
        replace_private(&target, write).map_err(|error| inaccessible(&target, chain(&error)))
    });
    let reading = async move {
        let mut chunks = Box::pin(docker.export_image(name));
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| build_failed(name, &error))?;
            // Sending fails only if the writer has failed, and the writer reports the reason.
            let _unwritten = send.send(Chunk::Bytes(chunk)).await.is_err();
        }
        let _unwritten = send.send(Chunk::End).await.is_err();
        Ok(())
    };
    let (written, read) = tokio::join!(writing, reading);
    read.and(written)
}

/// A part of an archive. The explicit end distinguishes a complete stream from an interrupted one.
enum Chunk {
    Bytes(bytes::Bytes),
    End,
}
