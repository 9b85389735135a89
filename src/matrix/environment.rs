//! Values from the runner's environment, which the file refers to as `{ from-env = "NAME" }`.
//!
//! Parsing only records where each value belongs, so that the result doesn't depend on the environment. Only
//! commands that need the values, such as `run`, `prepare` and `explain`, read the variables, with
//! [`resolve_variables`].

use std::collections::HashMap;
use std::env::VarError;
use std::sync::Arc;

use miette::SourceSpan;
use serde_json::Value;

use super::{Cell, ConfigName, Coordinate, ImageSource, Matrix, Problem, Problems, Variant};
use crate::secret::{Secret, is_secret_name};

/// A variable of the runner's environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromEnv {
    /// The variable's name.
    pub(super) variable: String,
    /// Where the file refers to the variable.
    pub(super) span: SourceSpan,
}

/// Text that is written in the file or read from a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextSource {
    /// The text itself.
    Literal(String),
    /// The variable that contains it.
    FromEnv(FromEnv),
}

/// The part of a variant that a variable's value belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A variable of the agent's container.
    Env(String),
    /// A JSON pointer into the agent's configuration.
    Agent(String),
}

/// Reads all variables that `cells` and `[run] secrets` refer to, and inserts the values into `cells`. Returns all
/// secrets: the values of these variables, and the secrets that are written in the file.
///
/// `name` and `text` are the name and content of the file that `matrix` was parsed from. `read` reads a variable.
///
/// # Errors
/// Returns each variable that isn't set or can't be used, with its place in the file.
pub fn resolve_variables(
    matrix: &Matrix,
    cells: &mut [Cell],
    (name, text): (&str, &str),
    read: impl Fn(&str) -> Result<String, VarError>,
) -> Result<Vec<Secret>, Problems> {
    let mut resolver = Resolver {
        read,
        secrets: secret_build_arguments(matrix).collect(),
        problems: Vec::new(),
    };
    for secret in &matrix.run.secrets {
        match secret {
            TextSource::Literal(text) => resolver.secrets.push(Secret::new(text)),
            TextSource::FromEnv(reference) => drop(resolver.value(reference)),
        }
    }
    let mut resolved: HashMap<(ConfigName, Vec<Coordinate>), Arc<Variant>> = HashMap::new();
    for cell in cells {
        let variant = resolved
            .entry((cell.config.clone(), cell.axes.clone()))
            .or_insert_with(|| resolver.variant(&cell.variant));
        cell.variant = Arc::clone(variant);
    }
    Problems::err_if_any(name, text, resolver.problems)?;
    Ok(resolver.secrets)
}

/// The values of build arguments with secret names. Other secrets are found in the manifests later, but build arguments
/// aren't part of a manifest.
fn secret_build_arguments(matrix: &Matrix) -> impl Iterator<Item = Secret> {
    let images = [&matrix.images.agent.image, &matrix.images.mock.image];
    let builds = images.into_iter().filter_map(|image| match image {
        ImageSource::Build(build) => Some(build),
        ImageSource::Reference | ImageSource::Tag(_) => None,
    });
    let arguments = builds.flat_map(|build| &build.args);
    let arguments = arguments.filter(|(name, _)| is_secret_name(name));
    arguments.filter_map(|(_, value)| Secret::guessed(value))
}

/// Reads variables, and collects their values and problems.
struct Resolver<R> {
    read: R,
    secrets: Vec<Secret>,
    problems: Vec<Problem>,
}

impl<R: Fn(&str) -> Result<String, VarError>> Resolver<R> {
    fn variant(&mut self, variant: &Arc<Variant>) -> Arc<Variant> {
        if variant.from_env.is_empty() {
            return Arc::clone(variant);
        }
        let mut resolved = Variant::clone(variant);
        let mut agent = Value::Object(std::mem::take(&mut resolved.agent));
        for (place, reference) in std::mem::take(&mut resolved.from_env) {
            let Some(value) = self.value(&reference) else {
                continue;
            };
            match place {
                // Kubernetes expands `$(A)` in values, and replaces `$$` with `$`.
                Place::Env(name) => drop(resolved.env.insert(name, value.replace('$', "$$"))),
                Place::Agent(pointer) => {
                    if let Some(place) = agent.pointer_mut(&pointer) {
                        *place = Value::String(value);
                    }
                }
            }
        }
        if let Value::Object(agent) = agent {
            resolved.agent = agent;
        }
        Arc::new(resolved)
    }

    /// The variable's value, which is also added to the secrets. If the value can't be used, reports that and returns
    /// `None`.
    fn value(&mut self, reference: &FromEnv) -> Option<String> {
        let variable = &reference.variable;
        let (message, help) = match (self.read)(variable) {
            Ok(value) if Secret::new(&*value).is_too_short() => (
                format!(
                    "the value of the environment variable `{variable}` is shorter than {} bytes, too short to be masked",
                    Secret::SHORTEST
                ),
                "use a longer value; a value that isn't secret can be written in the file itself",
            ),
            Ok(value) => {
                self.secrets.push(Secret::new(&*value));
                return Some(value);
            }
            Err(VarError::NotPresent) => (
                format!("the environment variable `{variable}` is not set"),
                "set it for the runner, or select only cells whose config doesn't need it",
            ),
            Err(VarError::NotUnicode(_)) => (
                format!("the value of the environment variable `{variable}` is not valid Unicode"),
                "set it to valid UTF-8, for example in base64",
            ),
        };
        let problem = Problem::at(reference.span, message, help).labelled("named here");
        self.problems.push(problem);
        None
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    const TEXT: &str = r#"
[matrix]
kubernetes = ["1.36"]
config = ["default", "remote"]
[run]
secrets = ["listed", { from-env = "EXTRA" }]
[images.agent]
build = { args = { BASE = "scratch image", NPM_TOKEN = "of the build" } }
[config.remote]
env = { TOKEN = { from-env = "TOKEN" }, PLAIN = "plain" }
agent = { servers = [{ "a/b~c" = { from-env = "KEY" } }] }
"#;

    fn read(name: &str) -> Result<String, VarError> {
        match name {
            "KEY" => Ok("key of the agent".to_owned()),
            "EXTRA" => Ok("1234".to_owned()),
            "SHORT" => Ok(" 12 ".to_owned()),
            "BROKEN" => Err(VarError::NotUnicode(OsString::new())),
            "TOKEN" => Ok("token $(of) the agent".to_owned()),
            _ => Err(VarError::NotPresent),
        }
    }

    /// The cells and secrets of `text`, or the messages of its problems.
    fn resolved(text: &str) -> Result<(Vec<Cell>, Vec<Secret>), Vec<String>> {
        let matrix = Matrix::parse("matrix.toml", text).unwrap();
        let mut cells = matrix.cells.clone();
        match resolve_variables(&matrix, &mut cells, ("matrix.toml", text), read) {
            Ok(secrets) => Ok((cells, secrets)),
            Err(problems) => Err(problems
                .iter()
                .map(|problem| {
                    let at = problem.offset();
                    format!("{}: {}", &text[at..at + 20], problem.message())
                })
                .collect()),
        }
    }

    #[test]
    fn values_are_inserted_and_become_secrets() {
        let (cells, secrets) = resolved(TEXT).unwrap_or_else(|problems| panic!("{problems:?}"));
        let variant = &cells[1].variant;
        assert_eq!(variant.env["TOKEN"], "token $$(of) the agent");
        assert_eq!(variant.env["PLAIN"], "plain");
        let key = &Value::from(variant.agent.clone())["servers"][0]["a/b~c"];
        assert_eq!(key, "key of the agent");
        assert!(variant.from_env.is_empty());
        let secrets: Vec<&str> = secrets.iter().map(Secret::expose).collect();
        let read = [
            "of the build",
            "listed",
            "1234",
            "key of the agent",
            "token $(of) the agent",
        ];
        assert_eq!(secrets, read);
    }

    #[test]
    fn without_resolving_there_are_no_values() {
        let matrix = Matrix::parse("matrix.toml", TEXT).unwrap();
        let variant = &matrix.cells[1].variant;
        assert!(!variant.env.contains_key("TOKEN"));
        let agent = Value::from(variant.agent.clone());
        assert_eq!(agent["servers"][0]["a/b~c"], Value::Null);
    }

    #[test]
    fn an_unusable_variable_is_reported_at_its_place() {
        let text = TEXT
            .replace("\"TOKEN\" }", "\"UNSET\" }")
            .replace("\"KEY\"", "\"BROKEN\"")
            .replace("\"EXTRA\"", "\"SHORT\"");
        let problems = resolved(&text).err().unwrap();
        assert_eq!(
            problems,
            [
                "{ from-env = \"SHORT\": the value of the environment variable `SHORT` is shorter than 4 bytes, too short to be masked",
                "{ from-env = \"UNSET\": the environment variable `UNSET` is not set",
                "{ from-env = \"BROKEN: the value of the environment variable `BROKEN` is not valid Unicode",
            ]
        );
    }

    #[test]
    fn only_variables_of_the_selected_cells_are_read() {
        let text = TEXT.replace("\"TOKEN\" }", "\"UNSET\" }");
        let matrix = Matrix::parse("matrix.toml", &text).unwrap();
        let mut cells = matrix.cells[..1].to_vec();
        let secrets = resolve_variables(&matrix, &mut cells, ("matrix.toml", &text), read);
        assert_eq!(secrets.ok().unwrap().len(), 3);
    }
}
