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
use futures::{StreamExt, TryStreamExt};
use tokio::io::AsyncWriteExt;

/// kind's label on the containers of a cluster. Its value is the cluster's name.
pub(super) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";

/// The output of a command on a node.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Its exit code; `None` if the engine doesn't know it.
    pub(super) code: Option<i64>,
    /// Its standard output.
    pub(super) stdout: Vec<u8>,
    /// Its standard error.
    pub(super) stderr: Vec<u8>,
}

impl Output {
    /// Its standard output if it succeeded.
    pub(super) fn success(self) -> Result<String, String> {
        if self.code == Some(0) {
            return Ok(String::from_utf8_lossy(&self.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&self.stderr);
        let code = self
            .code
            .map_or("unknown".to_owned(), |code| code.to_string());
        Err(format!("exit code {code}: {}", stderr.trim()))
    }
}

/// Runs `command` in `container`, with the file `input` as its standard input if there is one.
pub(super) async fn exec(
    docker: &Docker,
    container: &str,
    command: &[&str],
    input: Option<&Path>,
) -> Result<Output, Error> {
    let options = CreateExecOptions {
        attach_stdin: Some(input.is_some()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..CreateExecOptions::default()
    };
    let id = docker.create_exec(container, options).await?.id;
    let mut output = Output::default();
    if let StartExecResults::Attached {
        output: stream,
        input: stdin,
    } = docker.start_exec(&id, None).await?
    {
        let reading = collect(stream, &mut output);
        match input {
            Some(path) => {
                // If the command needed input that it didn't read, its exit code shows that.
                let (read, fed) = tokio::join!(reading, feed(path, stdin));
                if let Err(error) = fed {
                    tracing::debug!(container, %error, "the command did not read all of its input");
                }
                read?;
            }
            None => reading.await?,
        }
    }
    output.code = docker.inspect_exec(&id).await?.exit_code;
    Ok(output)
}

async fn collect(
    mut stream: impl futures::Stream<Item = Result<LogOutput, Error>> + Unpin,
    output: &mut Output,
) -> Result<(), Error> {
    while let Some(part) = stream.next().await {
        match part? {
            LogOutput::StdErr { message } => output.stderr.extend_from_slice(&message),
            LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message } => output.stdout.extend_from_slice(&message),
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

/// The content of the file `path` in `container`; `None` if it doesn't exist yet. Starts no process.
pub(super) async fn read_file(
    docker: &Docker,
    container: &str,
    path: &str,
) -> Result<Option<String>, Error> {
    // Checks first whether the file exists: sending a file is expensive for the engine, and the file is often missing.
    let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
    match docker
        .get_container_archive_info(container, Some(options))
        .await
    {
        Ok(_) => {}
        Err(error) if is_missing(&error) => return Ok(None),
        Err(error) => return Err(error),
    }
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(path)
        .build();
    let bytes: Result<Vec<_>, Error> = docker
        .download_from_container(container, Some(options))
        .try_collect()
        .await;
    match bytes {
        Ok(chunks) => Ok(first_file(&chunks.concat())),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the engine reports that the object doesn't exist.
pub(super) fn is_missing(error: &Error) -> bool {
    matches!(
        error,
        Error::DockerResponseServerError {
            status_code: 404,
            ..
        }
    )
}

/// Whether an object is gone after the engine was asked to delete it: an object in use stays.
pub(super) fn is_gone<T>(deleted: Result<T, Error>) -> Result<bool, Error> {
    match deleted {
        Ok(_) => Ok(true),
        Err(error) if is_missing(&error) => Ok(true),
        Err(Error::DockerResponseServerError {
            status_code: 409, ..
        }) => Ok(false),
        Err(error) => Err(error),
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
) -> Result<Vec<ContainerSummary>, Error> {
    let label = match cluster {
        Some(name) => format!("{CLUSTER_LABEL}={name}"),
        None => CLUSTER_LABEL.to_owned(),
    };
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    docker.list_containers(Some(options)).await
}

/// The names of the clusters to which `containers` belong.
pub(super) fn clusters(containers: &[ContainerSummary]) -> std::collections::BTreeSet<String> {
    let labels = containers
        .iter()
        .filter_map(|container| container.labels.as_ref());
    labels
        .filter_map(|labels| labels.get(CLUSTER_LABEL).cloned())
        .collect()
}
