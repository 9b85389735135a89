//! What a ledger says, whatever state its file is in.

use std::fs;
use std::io;
use std::path::Path;

use super::{FILE, LedgerEntry, LedgerError, Owner, Resource};

/// A ledger, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerContents {
    /// Whose it is; none where the first line is not there.
    pub owner: Option<Owner>,
    /// What was planned and is not proven gone, in the order it was planned.
    pub left: Vec<Left>,
    /// Lines that a newer version must have written: there may be more than is known.
    pub unknown: usize,
}

/// Something that may be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// What.
    pub resource: Resource,
    /// How to look inside, where it stays on purpose.
    pub kept: Option<Vec<String>>,
}

impl Left {
    /// Whether somebody has to take it away. A port is free as soon as its process has ended.
    pub fn is_unwanted(&self) -> bool {
        self.kept.is_none() && !matches!(self.resource, Resource::Port { .. })
    }
}

impl LedgerContents {
    /// Reads the ledger in `folder`; one that is not there says nothing.
    pub fn read(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join(FILE);
        match fs::read(&path) {
            Ok(bytes) => Ok(Self::of(&bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(LedgerError::Io { path, source }),
        }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut contents = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(entry) => contents.apply(entry),
                // A line that was torn announced nothing: what it was about was not made.
                Err(error) if error.is_data() => contents.unknown += 1,
                Err(_) => {}
            }
        }
        contents
    }

    fn apply(&mut self, entry: LedgerEntry) {
        match entry {
            LedgerEntry::Began { owner } => self.owner = Some(owner),
            LedgerEntry::Planned { resource } => {
                self.forget(&resource);
                self.left.push(Left {
                    resource,
                    kept: None,
                });
            }
            LedgerEntry::Kept { resource, commands } => {
                let mut left = self.left.iter_mut();
                match left.find(|left| left.resource == resource) {
                    Some(left) => left.kept = Some(commands),
                    None => self.left.push(Left {
                        resource,
                        kept: Some(commands),
                    }),
                }
            }
            LedgerEntry::Gone { resource } => self.forget(&resource),
        }
    }

    fn forget(&mut self, resource: &Resource) {
        self.left.retain(|left| left.resource != *resource);
    }

    /// Whether the cluster `name` is in it; kept, if it stays on purpose.
    pub fn cluster(&self, name: &str) -> Option<&Left> {
        self.left.iter().find(
            |left| matches!(&left.resource, Resource::KindCluster { name: other, .. } if other == name),
        )
    }
}

/// What the ledger in `folder` planned and did not prove gone, in the order it was planned.
pub fn outstanding(folder: &Path) -> Result<Vec<Resource>, LedgerError> {
    let contents = LedgerContents::read(folder)?;
    Ok(contents
        .left
        .into_iter()
        .map(|left| left.resource)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(contents: &LedgerContents) -> Vec<u16> {
        let port = |left: &Left| match left.resource {
            Resource::Port { port } => Some(port),
            Resource::KindCluster { .. }
            | Resource::Container { .. }
            | Resource::Volume { .. }
            | Resource::Processes { .. }
            | Resource::Folder { .. }
            | Resource::Network { .. }
            | Resource::Namespace { .. }
            | Resource::ClusterObject { .. } => None,
        };
        contents.left.iter().filter_map(port).collect()
    }

    #[test]
    fn torn_lines_announce_nothing_and_hide_nothing() {
        let text = br#"{"state":"planned","resource":{"type":"port","port":1}}
{"state":"pl
{"state":"planned","resource":{"type":"port","port":2}}
{"state":"planned","resource":{"type":"port","po"#;
        let contents = LedgerContents::of(text);
        assert_eq!(ports(&contents), [1, 2]);
        assert_eq!(contents.unknown, 0);
    }

    #[test]
    fn what_a_newer_version_wrote_is_counted() {
        let text = br#"{"state":"planned","resource":{"type":"port","port":1}}
{"state":"planned","resource":{"type":"virtual-machine","name":"a"}}
{"state":"gone","resource":{"type":"port","port":1}}
"#;
        let contents = LedgerContents::of(text);
        assert_eq!(ports(&contents), [] as [u16; 0]);
        assert_eq!(contents.unknown, 1);
    }
}
