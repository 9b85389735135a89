//! The process's environment, read once.

use std::env::{self, VarError};
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::config::Registration;
use crate::fault::{Faults, UnknownFault};
use crate::secret::Secret;

const TOKEN: &str = "PLEXD_BOOTSTRAP_TOKEN";
const NODE_NAME: &str = "MY_NODE_NAME";
const FAULT: &str = "PLEXD_FAULT";
const HEALTH_ADDRESS: &str = "PLEXD_HEALTH_ADDR";
const DEFAULT_HEALTH_ADDRESS: &str = ":9100";

/// The values from the environment. Doesn't implement `Debug`, because it contains the bootstrap token.
pub(crate) struct Environment {
    /// This node's name.
    pub(crate) node_name: String,
    /// The requested faults.
    pub(crate) faults: Faults,
    /// The address of the health endpoints.
    pub(crate) health_address: String,
    bootstrap_token: Option<Secret>,
}

/// The environment can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnvironmentError {
    /// A variable isn't valid UTF-8. The message doesn't quote its value.
    #[error("environment variable {0} is not UTF-8")]
    NotText(&'static str),
    /// `PLEXD_FAULT` names an unknown fault.
    #[error("environment variable {FAULT} cannot be used")]
    Fault(#[from] UnknownFault),
    /// Neither `PLEXD_BOOTSTRAP_TOKEN` nor `registration.token_file` is set.
    #[error("no bootstrap token: set {TOKEN} or registration.token_file")]
    NoToken,
    /// The configured token file doesn't exist or can't be read.
    #[error("cannot read the bootstrap token from registration.token_file {path}")]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The token file contains no token.
    #[error("the bootstrap token in registration.token_file {0} is empty")]
    EmptyTokenFile(PathBuf),
}

impl Environment {
    /// Reads this process's environment.
    pub(crate) fn read() -> Result<Self, EnvironmentError> {
        let node_name = match variable(NODE_NAME)? {
            Some(name) => name,
            None => rustix::system::uname()
                .nodename()
                .to_string_lossy()
                .into_owned(),
        };
        Ok(Self {
            faults: Faults::parse(&variable(FAULT)?.unwrap_or_default(), &node_name)?,
            health_address: variable(HEALTH_ADDRESS)?
                .unwrap_or_else(|| DEFAULT_HEALTH_ADDRESS.into()),
            bootstrap_token: variable(TOKEN)?.map(Secret::new),
            node_name,
        })
    }

    /// The bootstrap token from the environment, or from the file if the environment has none.
    pub(crate) fn token(&self, registration: &Registration) -> Result<Secret, EnvironmentError> {
        match (&self.bootstrap_token, &registration.token_file) {
            (Some(token), _) => Ok(token.clone()),
            (None, Some(path)) => token_in(path.clone()),
            (None, None) => Err(EnvironmentError::NoToken),
        }
    }
}

fn token_in(path: PathBuf) -> Result<Secret, EnvironmentError> {
    match fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Err(EnvironmentError::EmptyTokenFile(path)),
        Ok(text) => Ok(Secret::new(text.trim())),
        Err(source) => Err(EnvironmentError::TokenFile { path, source }),
    }
}

/// A variable's value; `None` if it is not set or empty.
fn variable(name: &'static str) -> Result<Option<String>, EnvironmentError> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(EnvironmentError::NotText(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(token: Option<&str>) -> Environment {
        Environment {
            node_name: "node".into(),
            faults: Faults::default(),
            health_address: String::new(),
            bootstrap_token: token.map(Secret::new),
        }
    }

    fn registration(token_file: Option<PathBuf>) -> Registration {
        Registration {
            token_file,
            ..Registration::default()
        }
    }

    #[test]
    fn the_token_in_the_environment_takes_precedence_over_the_file() {
        let missing = registration(Some("/nowhere/token".into()));
        assert_eq!(
            environment(Some("a"))
                .token(&missing)
                .ok()
                .unwrap()
                .reveal(),
            "a"
        );
        assert!(matches!(
            environment(None).token(&missing),
            Err(EnvironmentError::TokenFile { .. })
        ));
    }

    #[test]
    fn the_token_in_a_file_is_trimmed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        fs::write(&path, "b\n").unwrap();
        assert_eq!(
            environment(None)
                .token(&registration(Some(path.clone())))
                .ok()
                .unwrap()
                .reveal(),
            "b"
        );
        fs::write(&path, " \n").unwrap();
        let result = environment(None).token(&registration(Some(path)));
        assert!(matches!(result, Err(EnvironmentError::EmptyTokenFile(_))));
    }

    #[test]
    fn a_missing_token_is_an_error_that_says_how_to_set_it() {
        let error = environment(None)
            .token(&registration(None))
            .err()
            .unwrap()
            .to_string();
        assert_eq!(
            error,
            "no bootstrap token: set PLEXD_BOOTSTRAP_TOKEN or registration.token_file"
        );
    }
}
