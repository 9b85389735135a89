//! Node containers: found by kind's label, and accessed with `exec` and archives.

use std::collections::HashMap;
use std::path::Path;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::ContainerSummary;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder,
    ListContainersOptionsBuilder,
};
use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;

use crate::cluster::NodeName;
use crate::cluster::images::absent_is_none;
use crate::error::chain;
use crate::event::Failure;

/// kind's label on the containers of a cluster. Its value is the cluster's name.
pub(super) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";

/// Runs `command` in the container `node`, with the file `input` as its standard input if there is one. Returns its
/// standard output if it succeeded.
pub(super) async fn run(
    docker: &Docker,
    node: &NodeName,
    command: &[&str],
    input: Option<&Path>,
) -> Result<String, String> {
    let executed = exec(docker, node.as_str(), command, input).await;
    let (code, stdout, stderr) = executed.map_err(|error| chain(&error))?;
    if code == Some(0) {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&stderr);
    let code = code.map_or("unknown".to_owned(), |code| code.to_string());
    Err(format!("exit code {code}: {}", stderr.trim()))
}

/// Runs a command with `file` as its standard input. Returns its exit code, which is `None` if the engine doesn't know
/// it, and what it wrote to its standard output and standard error.
async fn exec(
    docker: &Docker,
    container: &str,
    command: &[&str],
    file: Option<&Path>,
) -> Result<(Option<i64>, Vec<u8>, Vec<u8>), Error> {
    let options = CreateExecOptions {
        attach_stdin: Some(file.is_some()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..CreateExecOptions::default()
    };
    let id = docker.create_exec(container, options).await?.id;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let started = docker.start_exec(&id, None).await?;
    if let StartExecResults::Attached { output, input } = started {
        let reading = collect(output, &mut stdout, &mut stderr);
        match file {
            Some(path) => {
                // If the command needed input that it didn't read, its exit code shows that.
                let (read, fed) = tokio::join!(reading, feed(path, input));
                if let Err(error) = fed {
                    tracing::debug!(container, %error, "the command did not read all of its input");
                }
                read?;
            }
            None => reading.await?,
        }
    }
    let code = docker.inspect_exec(&id).await?.exit_code;
    Ok((code, stdout, stderr))
}

async fn collect(
    mut stream: impl futures::Stream<Item = Result<LogOutput, Error>> + Unpin,
    stdout: &mut Vec<u8>,
    stderr: &mut Vec<u8>,
) -> Result<(), Error> {
    while let Some(part) = stream.try_next().await? {
        match part {
            LogOutput::StdErr { message } => stderr.extend_from_slice(&message),
            part => stdout.extend_from_slice(&part.into_bytes()),
        }
    }
    Ok(())
}

async fn feed(path: &Path, mut stdin: impl tokio::io::AsyncWrite + Unpin) -> std::io::Result<()> {
    let file = tokio::fs::File::open(path).await?;
    let mut file = tokio::io::BufReader::with_capacity(1 << 18, file);
    tokio::io::copy_buf(&mut file, &mut stdin).await?;
    stdin.shutdown().await
}

/// The content of the file `path` in `container`; `None` if it doesn't exist yet. Starts no process in the
/// container.
pub(super) async fn read_file(
    docker: &Docker,
    container: &str,
    path: &str,
) -> Result<Option<String>, Failure> {
    // Checks first whether the file exists: sending a file is expensive for the engine, and the file is often missing.
    let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
    let info = docker.get_container_archive_info(container, Some(options));
    if absent_is_none(info.await)?.is_none() {
        return Ok(None);
    }
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(path)
        .build();
    let file = docker.download_from_container(container, Some(options));
    let chunks = absent_is_none(file.try_collect::<Vec<_>>().await)?;
    Ok(chunks.and_then(|chunks| first_file(&chunks.concat())))
}

/// Whether an object is gone after the engine was asked to delete it: an object in use stays.
pub(super) fn is_gone<T>(deleted: Result<T, Error>) -> Result<bool, Failure> {
    match deleted {
        Err(Error::DockerResponseServerError {
            status_code: 409, ..
        }) => Ok(false),
        deleted => Ok(absent_is_none(deleted).map(|_| true)?),
    }
}

/// The first file of a tar archive, if it is complete and is text.
fn first_file(bytes: &[u8]) -> Option<String> {
    let mut tar = tar::Archive::new(bytes);
    let mut entry = tar.entries().ok()?.next()?.ok()?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut entry, &mut text).ok()?;
    (!text.is_empty()).then_some(text)
}

/// The containers with kind's label: those of `cluster`, or those of all clusters.
pub(super) async fn containers(
    docker: &Docker,
    cluster: Option<&str>,
) -> Result<Vec<ContainerSummary>, Failure> {
    let label = match cluster {
        Some(name) => format!("{CLUSTER_LABEL}={name}"),
        None => CLUSTER_LABEL.to_owned(),
    };
    Ok(filtered(docker, "label", &label).await?)
}

/// All containers, running or not, for which the engine's filter `filter` has this value.
pub(super) async fn filtered(
    docker: &Docker,
    filter: &str,
    value: &str,
) -> Result<Vec<ContainerSummary>, Error> {
    let filters = HashMap::from([(filter, vec![value])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    docker.list_containers(Some(options)).await
}
