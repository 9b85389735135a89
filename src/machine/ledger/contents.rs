//! What a ledger says, whatever state its file is in.

use std::fs;
use std::io;
use std::path::Path;

use super::{FILE, HostResource, LedgerEntry, LedgerError, Owner, Payload, Resource};

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
        let is_port = matches!(self.resource.read(), Some(Ok(HostResource::Port { .. })));
        self.kept.is_none() && !is_port
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
                self.update(resource);
            }
            LedgerEntry::Kept { resource, commands } => self.update(resource).kept = Some(commands),
            LedgerEntry::Gone { resource } => self.left.retain(|left| !left.resource.is(&resource)),
        }
    }

    /// What was planned before keeps its place.
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

    /// The resource of `payload`; kept, if it stays on purpose.
    pub fn find<P: Payload>(&self, payload: &P) -> Option<&Left> {
        let resource = Resource::named(payload);
        self.left.iter().find(|left| left.resource.is(&resource))
    }

    /// What is left of one provider, in the order it was planned. What this version can't read is left out.
    pub fn payloads<P: Payload>(&self) -> impl Iterator<Item = (&Left, P)> {
        let read = |left: &Left| left.resource.read()?.ok();
        self.left
            .iter()
            .filter_map(move |left| Some((left, read(left)?)))
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
    fn torn_lines_announce_nothing_and_hide_nothing() {
        let (one, two, three) = (line("planned", 1), line("planned", 2), line("planned", 3));
        let torn = &three[..three.len() - 9];
        let text = format!("{one}\n{{\"state\":\"pl\n{two}\n{torn}");
        let contents = LedgerContents::of(text.as_bytes());
        assert_eq!(ports(&contents), [1, 2]);
        assert_eq!(contents.unknown, 0);
    }

    #[test]
    fn what_a_newer_version_wrote_is_counted_or_stays_as_it_is() {
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
    fn more_about_a_resource_keeps_its_place() {
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
