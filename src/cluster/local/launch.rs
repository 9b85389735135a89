//! A container as a process: its program, arguments and environment, with nothing of the runner's own.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use k8s_openapi::api::core::v1::Container;
use tokio::process::Command;

use super::announce::Listener;
use super::environment::{Environment, expand};
use super::mapping::Mapping;
use crate::machine::marked::MARK;

/// The program of a role, and the arguments that make the runner's own binary it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    pub(super) first: Vec<String>,
}

/// A process to start. Has no `Debug`: its environment holds tokens.
pub(super) struct Launch {
    program: Program,
    arguments: Vec<String>,
    environment: Environment,
    folder: PathBuf,
}

impl Launch {
    /// The process of `container`, whose image's program is `program`; `folder` is the pod's own.
    pub(super) fn new(
        program: Program,
        container: &Container,
        environment: Environment,
        mapping: &Mapping,
        folder: &Path,
    ) -> Self {
        // A command replaces the image's: its first word is the program that we have another path for.
        let command = container.command.iter().flatten().skip(1);
        let arguments = command
            .chain(container.args.iter().flatten())
            .map(|argument| mapping.argument(&expand(argument, &environment)))
            .collect();
        let environment = environment
            .into_iter()
            .map(|(name, value)| (name, mapping.text(&value)))
            .collect();
        Self {
            program,
            arguments,
            environment,
            folder: folder.join("tmp"),
        }
    }

    /// The folder that the process works in, and keeps temporary files in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Sets a variable, unless the manifest does.
    pub(super) fn default_variable(&mut self, name: &str, value: &str) {
        self.environment
            .entry(name.to_owned())
            .or_insert_with(|| value.to_owned());
    }

    /// Makes the mock listen on any free port. Returns which of its container's ports is which listener.
    pub(super) fn take_any_ports(&mut self) -> BTreeMap<u16, Listener> {
        let mut ports = BTreeMap::new();
        for option in [MOCK_ADDRESS, MOCK_TLS_ADDRESS] {
            let port = option.take_any_port(&mut self.arguments);
            ports.insert(port, option.listener);
        }
        ports
    }

    /// The command, with its errors in `log` and its output to be read; its processes can be found by `mark`.
    pub(super) fn command(&self, log: File, mark: &str) -> Command {
        let mut command = Command::new(&self.program.path);
        command
            .args(&self.program.first)
            .args(&self.arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .env("TMPDIR", &self.folder)
            .envs(&self.environment)
            .env(MARK, mark)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        command
    }
}

/// An option of the mock that says where it listens.
#[derive(Clone, Copy)]
struct AddressOption {
    name: &'static str,
    default: u16,
    listener: Listener,
}

const MOCK_ADDRESS: AddressOption = AddressOption {
    name: "addr",
    default: 8080,
    listener: Listener::MockHttp,
};
const MOCK_TLS_ADDRESS: AddressOption = AddressOption {
    name: "tls-addr",
    default: 8443,
    listener: Listener::MockTls,
};
const ANY_PORT: &str = "127.0.0.1:0";

impl AddressOption {
    /// Puts any free port into the option's place, and returns the port that it named.
    fn take_any_port(self, arguments: &mut Vec<String>) -> u16 {
        let port = |address: &str| address.rsplit(':').next()?.parse().ok();
        for index in 0..arguments.len() {
            let Some(value) = self.value_in(&arguments[index]) else {
                continue;
            };
            let named = if !value.is_empty() {
                let named = port(value);
                arguments[index] = format!("--{}={ANY_PORT}", self.name);
                named
            } else if let Some(next) = arguments.get_mut(index + 1) {
                let named = port(next);
                ANY_PORT.clone_into(next);
                named
            } else {
                None
            };
            return named.unwrap_or(self.default);
        }
        arguments.extend([format!("--{}", self.name), ANY_PORT.to_owned()]);
        self.default
    }

    /// What `argument` gives the option with `=`, empty where that is the next argument; none for any other argument.
    /// One dash is as good as two.
    fn value_in(self, argument: &str) -> Option<&str> {
        let option = argument.strip_prefix('-')?;
        let rest = option
            .strip_prefix('-')
            .unwrap_or(option)
            .strip_prefix(self.name)?;
        if rest.is_empty() {
            return Some(rest);
        }
        rest.strip_prefix('=')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(arguments: &[&str]) -> (Vec<String>, BTreeMap<u16, Listener>) {
        let container = Container {
            args: Some(arguments.iter().map(ToString::to_string).collect()),
            ..Container::default()
        };
        let program = Program {
            path: "mock".into(),
            first: Vec::new(),
        };
        let mapping = Mapping::default();
        let environment = Environment::new();
        let mut launch = Launch::new(program, &container, environment, &mapping, Path::new("/"));
        let ports = launch.take_any_ports();
        (launch.arguments, ports)
    }

    #[test]
    fn the_mock_listens_on_any_port_however_it_was_told_its_own() {
        let both =
            |http, tls| BTreeMap::from([(http, Listener::MockHttp), (tls, Listener::MockTls)]);
        for (arguments, expected, ports) in [
            (
                &["--addr", ":80", "--tls-addr=:443"][..],
                "--addr 127.0.0.1:0 --tls-addr=127.0.0.1:0",
                both(80, 443),
            ),
            (
                &["-addr", "0.0.0.0:8080"][..],
                "-addr 127.0.0.1:0 --tls-addr 127.0.0.1:0",
                both(8080, 8443),
            ),
            (
                &["--address", "x"][..],
                "--address x --addr 127.0.0.1:0 --tls-addr 127.0.0.1:0",
                both(8080, 8443),
            ),
        ] {
            assert_eq!(
                taken(arguments),
                (expected.split(' ').map(str::to_owned).collect(), ports)
            );
        }
    }
}
