//! Reading a configuration: a file, then the environment.
#![allow(clippy::disallowed_methods, reason = "the file and the environment are read here and nowhere else")]

use std::path::Path;

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map as Profiles};
use figment::{Figment, Metadata, Profile, Provider};

use super::environment::{UnknownVariable, Variable, nested};
use super::error::explained;
use super::{Config, ConfigError, DEFAULT_FILE};

impl Config {
    /// Reads the file (the default one only if it is there), then the environment.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::from(file, environment)
    }

    pub(super) fn from(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let file = match file {
            Some(file) if !file.is_file() => return Err(ConfigError::NoFile(file.to_owned())),
            Some(file) => Some(file),
            None => Some(Path::new(DEFAULT_FILE)).filter(|file| file.is_file()),
        };
        let Some(file) = file else { return Self::of(None, environment) };
        let text = std::fs::read_to_string(file)
            .map_err(|error| ConfigError::Invalid(format!("{} cannot be read: {error}", file.display())))?;
        Self::of(Some((file, &text)), environment)
    }

    /// Reads the text of a file, then the environment.
    pub(crate) fn of(
        file: Option<(&Path, &str)>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut figment = Figment::new();
        if let Some((path, text)) = file {
            figment = figment.merge(File { path, keys: keys(path, text)? });
        }
        let mut variables: Vec<Variable> = environment.filter_map(|(name, value)| Variable::of(name, value)).collect();
        let mut unknown = Vec::new();
        loop {
            let settings = figment.clone().merge(Serialized::globals(nested(&variables)));
            let error = match settings.extract::<Self>() {
                Ok(config) => {
                    let host_as_written =
                        settings.extract_inner::<String>("public_url").ok().and_then(|text| host_in(&text));
                    return Ok(Self { unknown_variables: unknown, host_as_written, ..config });
                }
                Err(error) => explained(error),
            };
            // Who else puts variables with our prefix there need not stop the server.
            let ConfigError::UnknownKey { key, .. } = &error else { return Err(error) };
            let (known, strange): (Vec<_>, Vec<_>) = variables.into_iter().partition(|variable| !variable.is_in(key));
            if strange.is_empty() {
                return Err(error);
            }
            unknown
                .extend(strange.into_iter().map(|Variable { name, .. }| UnknownVariable { name, hint: hint(&error) }));
            variables = known;
        }
    }
}

fn hint(error: &ConfigError) -> String {
    match error {
        ConfigError::UnknownKey { nearest, .. } => nearest.clone(),
        _ => String::new(),
    }
}

/// What a file sets.
struct File<'a> {
    path: &'a Path,
    keys: Dict,
}

impl Provider for File<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::from("TOML file", self.path)
    }

    fn data(&self) -> figment::Result<Profiles<Profile, Dict>> {
        Ok(Profile::Default.collect(self.keys.clone()))
    }
}

/// Reads a file's text. What is wrong with it is told by its place: the reader's own words quote the whole line, and a
/// secret may stand in it.
fn keys(path: &Path, text: &str) -> Result<Dict, ConfigError> {
    Toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|letter| *letter != '\n').count() + 1;
        let what = error.message().lines().collect::<Vec<_>>().join(", ");
        ConfigError::Invalid(format!("line {line}, column {column}: {what} ({})", path.display()))
    })
}

/// The host in a web address, letter by letter.
fn host_in(address: &str) -> Option<String> {
    let (_, rest) = address.trim().split_once("://")?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let host = place.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(place, |(host, _)| host);
    Some(host.to_owned())
}
