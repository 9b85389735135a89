//! The node's identity for the Central API, and the file that stores it.
//!
//! The file is replaced atomically, and only its owner can read it. A damaged file results in an error, never in a
//! partial identity, and the caller registers again.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};

use crate::secret::{KEY_LENGTH, Secret};
use crate::wire::Registered;

/// The file's name in the data directory.
const FILE_NAME: &str = "identity.json";

/// A registered node. Doesn't implement `Debug`, because it contains secrets.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// The node id, which is part of all paths.
    pub(crate) node_id: String,
    /// The node's address in the mesh.
    pub(crate) mesh_ip: String,
    /// The public key that verifies the API's events, in base64.
    pub(crate) signing_public_key: String,
    /// The bearer credential, which is also the AES-256 key.
    pub(crate) node_secret_key: Secret,
    /// The node's own key pair, as PKCS #8 in base64.
    pub(crate) private_key: Secret,
}

/// An identity can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// The identity file can't be read or written.
    #[error("cannot use identity file {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file isn't JSON, or keys are missing. The message doesn't quote the content, which may contain part of a
    /// key.
    #[error("identity file {0} is damaged")]
    Damaged(PathBuf),
    /// The API's response or the file has no node id, or its secret key has the wrong length.
    #[error("an identity needs a node id and a secret key of {KEY_LENGTH} bytes")]
    Incomplete,
}

impl Identity {
    /// The identity from the API's response and the node's key pair.
    pub(crate) fn new(registered: Registered, keys: &NodeKeys) -> Result<Self, IdentityError> {
        let identity = Self {
            node_id: registered.node_id,
            mesh_ip: registered.mesh_ip,
            signing_public_key: registered.signing_public_key,
            node_secret_key: registered.node_secret_key,
            private_key: keys.private_key.clone(),
        };
        identity.checked()
    }

    fn checked(self) -> Result<Self, IdentityError> {
        let complete =
            !self.node_id.is_empty() && self.node_secret_key.reveal().len() == KEY_LENGTH;
        if complete {
            Ok(self)
        } else {
            Err(IdentityError::Incomplete)
        }
    }
}

/// The key pair of a node before its registration.
pub(crate) struct NodeKeys {
    /// The public key, in base64.
    pub(crate) public_key: String,
    private_key: Secret,
}

impl NodeKeys {
    /// A new key pair.
    pub(crate) fn generate() -> Result<Self, ring::error::Unspecified> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
        let pair =
            Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| ring::error::Unspecified)?;
        Ok(Self {
            public_key: STANDARD.encode(pair.public_key()),
            private_key: Secret::new(STANDARD.encode(document)),
        })
    }
}

/// The stored identity.
#[derive(Debug, Clone)]
pub(crate) struct IdentityFile {
    directory: PathBuf,
    path: PathBuf,
}

impl IdentityFile {
    /// The file in a data directory.
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.into(),
            path: directory.join(FILE_NAME),
        }
    }

    /// Whether an earlier process left a file, even if it is damaged. If so, this process is a restart.
    pub(crate) fn exists(&self) -> bool {
        self.path.exists()
    }

    /// The identity that an earlier process stored; `None` if there is none.
    pub(crate) fn load(&self) -> Result<Option<Identity>, IdentityError> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.file_error(source)),
        };
        let identity: Identity = serde_json::from_slice(&bytes)
            .map_err(|_| IdentityError::Damaged(self.path.clone()))?;
        identity.checked().map(Some)
    }

    /// Replaces the stored identity. Returns once the new identity is on disk.
    pub(crate) fn store(&self, identity: &Identity) -> Result<(), IdentityError> {
        self.replace(identity)
            .map_err(|source| self.file_error(source))
    }

    fn replace(&self, identity: &Identity) -> io::Result<()> {
        let mut file = tempfile::Builder::new()
            .prefix(".identity-")
            .permissions(Permissions::from_mode(0o600))
            .tempfile_in(&self.directory)?;
        file.write_all(&serde_json::to_vec_pretty(identity)?)?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }

    fn file_error(&self, source: io::Error) -> IdentityError {
        IdentityError::File {
            path: self.path.clone(),
            source,
        }
    }
}

/// Creates a data directory if it doesn't exist, and tests that it is writable.
pub(crate) fn prepare_directory(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    tempfile::tempfile_in(directory).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn registered(node_id: &str, key: &str) -> Registered {
        Registered {
            node_id: node_id.into(),
            mesh_ip: "10.99.0.1".into(),
            signing_public_key: String::new(),
            node_secret_key: Secret::new(key),
        }
    }

    fn identity(node_id: &str) -> Identity {
        Identity::new(registered(node_id, KEY), &NodeKeys::generate().unwrap()).unwrap()
    }

    #[test]
    fn a_stored_identity_can_be_loaded() {
        let directory = tempfile::tempdir().unwrap();
        let file = IdentityFile::new(directory.path());
        assert!(file.load().unwrap().is_none());
        assert!(!file.exists());
        file.store(&identity("node-a")).unwrap();
        file.store(&identity("node-b")).unwrap();
        let loaded = file.load().unwrap().unwrap();
        assert_eq!(
            (loaded.node_id.as_str(), loaded.node_secret_key.reveal()),
            ("node-b", KEY)
        );
        assert!(file.exists());
    }

    #[test]
    fn only_the_owner_can_read_the_file_and_no_temporary_file_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let file = IdentityFile::new(directory.path());
        file.store(&identity("node-a")).unwrap();
        assert_eq!(
            fs::metadata(&file.path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_file_is_an_error_that_does_not_quote_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = IdentityFile::new(directory.path());
        for damage in [
            "",
            "{\"node_secret_key\": \"half-a-k",
            "[]",
            "{\"node_id\": \"a\"}",
        ] {
            fs::write(&file.path, damage).unwrap();
            let error = file.load().err().unwrap().to_string();
            assert!(
                error.contains("damaged") && !error.contains("half-a-k"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_response_without_an_id_or_with_a_short_key_is_rejected() {
        let keys = NodeKeys::generate().unwrap();
        for (node_id, key) in [("", KEY), ("node-a", "short")] {
            assert!(matches!(
                Identity::new(registered(node_id, key), &keys),
                Err(IdentityError::Incomplete)
            ));
        }
    }

    #[test]
    fn two_key_pairs_are_never_the_same() {
        assert_ne!(
            NodeKeys::generate().unwrap().public_key,
            NodeKeys::generate().unwrap().public_key
        );
    }

    #[test]
    fn a_data_directory_is_created_or_the_error_is_returned() {
        let directory = tempfile::tempdir().unwrap();
        prepare_directory(&directory.path().join("a/b")).unwrap();
        fs::write(directory.path().join("file"), "").unwrap();
        assert!(prepare_directory(&directory.path().join("file/below")).is_err());
    }
}
