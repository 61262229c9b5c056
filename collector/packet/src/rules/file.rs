//! The entries of a rule file as serde reads them; [`super::load`] checks their values.

use serde::Deserialize;
use toml::Spanned;

/// Text with its position in the file.
pub(super) type Text = Spanned<String>;

/// A whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub version: Spanned<i64>,
    #[serde(default)]
    pub disable: Vec<Text>,
    #[serde(default)]
    pub class: Vec<Spanned<Class>>,
    #[serde(default)]
    pub reflection: Vec<Spanned<Reflection>>,
    #[serde(default)]
    pub bogon: Vec<Bogon>,
    #[serde(default)]
    pub fingerprint: Vec<Spanned<Fingerprint>>,
}

/// `[[class]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Class {
    pub protocol: Text,
    pub class: Text,
    pub when: Option<Text>,
    pub types: Option<Vec<Spanned<i64>>>,
    pub reason: Text,
}

/// `[[reflection]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reflection {
    pub port: Spanned<i64>,
    pub name: Text,
    pub answer: Text,
    pub reason: Text,
}

/// `[[bogon]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bogon {
    pub prefix: Text,
    pub reason: Text,
}

/// `[[fingerprint]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fingerprint {
    pub name: Text,
    pub version: Spanned<i64>,
    pub when: Option<Text>,
    pub constant: Option<Text>,
    pub packets: Option<Text>,
    pub chance_bits: Spanned<i64>,
    pub source: Text,
    #[serde(default)]
    pub supersedes: Vec<Text>,
    pub event_field: Option<Text>,
    pub flowtuple_field: Option<Text>,
    #[serde(default)]
    pub telnet_mark: bool,
}
