//! The content of a ledger, even if its file is incomplete or damaged.

use std::fs;
use std::path::Path;

use super::{FILE, HostResource, LedgerEntry, LedgerError, Owner, Payload, Resource};
use crate::machine::if_exists;

/// The content of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerContents {
    /// The run that the ledger belongs to; `None` if the first line is missing.
    pub owner: Option<Owner>,
    /// The planned resources that aren't known to be gone, in the order in which they were planned.
    pub left: Vec<Left>,
    /// How many lines this version can't read. Another version wrote them, so there may be more resources than are
    /// listed here.
    pub unknown: usize,
}

/// A resource that may still exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// The resource.
    pub resource: Resource,
    /// The commands to inspect it, if it is kept on purpose.
    pub kept: Option<Vec<String>>,
}

impl Left {
    /// Whether the resource has to be deleted. A kept resource must stay, and a port is free as soon as its process has
    /// ended.
    pub fn is_unwanted(&self) -> bool {
        let is_port = matches!(self.resource.read(), Some(Ok(HostResource::Port { .. })));
        self.kept.is_none() && !is_port
    }
}

impl LedgerContents {
    /// Reads the ledger in `folder`; empty if there is none.
    pub fn read(folder: &Path) -> Result<Self, LedgerError> {
        let path = folder.join(FILE);
        let bytes = if_exists(fs::read(&path)).map_err(LedgerError::at(&path))?;
        Ok(Self::of(&bytes.unwrap_or_default()))
    }

    fn of(bytes: &[u8]) -> Self {
        let mut contents = Self::default();
        for line in bytes.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(entry) => contents.apply(entry),
                // If a line was cut off, its resource was never created.
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
                self.update(resource);
            }
            LedgerEntry::Kept { resource, commands } => self.update(resource).kept = Some(commands),
            LedgerEntry::Gone { resource } => self.left.retain(|left| !left.resource.is(&resource)),
        }
    }

    /// Adds `resource`. If it was planned before, replaces the earlier entry in the same position.
    fn update(&mut self, resource: Resource) -> &mut Left {
        let known = self.left.iter().position(|it| it.resource.is(&resource));
        let place = known.unwrap_or_else(|| {
            self.left.push(Left {
                resource: resource.clone(),
                kept: None,
            });
            self.left.len() - 1
        });
        self.left[place].resource = resource;
        &mut self.left[place]
    }

    /// Whether no resource is left that has to be deleted or is kept.
    pub fn is_settled(&self) -> bool {
        let mut left = self.left.iter();
        !left.any(|left| left.kept.is_some() || left.is_unwanted())
    }

    /// The resource of `payload`, if it may still exist.
    pub fn find<P: Payload>(&self, payload: &P) -> Option<&Left> {
        let resource = Resource::named(payload);
        self.left.iter().find(|left| left.resource.is(&resource))
    }

    /// The remaining resources of one provider, in the order in which they were planned, without those that this
    /// version can't read.
    pub fn payloads<P: Payload>(&self) -> impl Iterator<Item = (&Left, P)> {
        let read = |left: &Left| left.resource.read()?.ok();
        self.left
            .iter()
            .filter_map(move |left| Some((left, read(left)?)))
    }
}

/// The planned resources in the ledger in `folder` that aren't known to be gone, in the order in which they were
/// planned.
pub fn outstanding(folder: &Path) -> Result<Vec<Resource>, LedgerError> {
    let left = LedgerContents::read(folder)?.left.into_iter();
    Ok(left.map(|left| left.resource).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(contents: &LedgerContents) -> Vec<u16> {
        let port = |(_, payload)| match payload {
            HostResource::Port { port } => Some(port),
            HostResource::Folder { .. } | HostResource::Processes { .. } => None,
        };
        contents.payloads().filter_map(port).collect()
    }

    fn line(state: &str, port: u16) -> String {
        let resource = Resource::new(&HostResource::Port { port }).unwrap();
        let resource = serde_json::to_string(&resource).unwrap();
        format!(r#"{{"state":"{state}","resource":{resource}}}"#)
    }

    #[test]
    fn cut_off_lines_are_ignored_and_hide_no_other_lines() {
        let (one, two, three) = (line("planned", 1), line("planned", 2), line("planned", 3));
        let torn = &three[..three.len() - 9];
        let text = format!("{one}\n{{\"state\":\"pl\n{two}\n{torn}");
        let contents = LedgerContents::of(text.as_bytes());
        assert_eq!(ports(&contents), [1, 2]);
        assert_eq!(contents.unknown, 0);
    }

    #[test]
    fn lines_of_a_newer_version_are_counted_or_preserved() {
        let newer =
            r#"{"state":"planned","resource":{"provider":"moon","name":"base 1","payload":[1]}}"#;
        let unknown = r#"{"state":"lent","resource":{"provider":"moon","name":"base 2"}}"#;
        let (planned, gone) = (line("planned", 1), line("gone", 1));
        let text = [&planned, newer, unknown, &gone].join("\n");
        let contents = LedgerContents::of(text.as_bytes());
        assert_eq!(contents.unknown, 1);
        let names: Vec<_> = contents.left.iter().map(|it| &*it.resource.name).collect();
        assert_eq!(names, ["base 1"]);
        assert!(contents.left[0].is_unwanted());
    }

    #[test]
    fn an_update_of_a_resource_keeps_its_position() {
        let text = r#"{"state":"planned","resource":{"provider":"kind","name":"network","payload":{"id":null}}}
{"state":"planned","resource":{"provider":"kind","name":"cluster"}}
{"state":"planned","resource":{"provider":"kind","name":"network","payload":{"id":"1"}}}
"#;
        let contents = LedgerContents::of(text.as_bytes());
        let names: Vec<_> = contents.left.iter().map(|it| &*it.resource.name).collect();
        assert_eq!(names, ["network", "cluster"]);
        assert_eq!(contents.left[0].resource.payload["id"], "1");
    }
}
