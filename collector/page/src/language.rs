//! The languages that a report is written in, and their messages.

use std::str::FromStr;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

/// A language of reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// English.
    #[default]
    English,
    /// Japanese, in the words of NICTER's and JPCERT/CC's reports.
    Japanese,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::Japanese];

    /// Code by ISO 639-1, which is also the page's `lang`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }

    const fn source(self) -> &'static str {
        match self {
            Self::English => include_str!("../messages/en.ftl"),
            Self::Japanese => include_str!("../messages/ja.ftl"),
        }
    }

    /// The undetermined language if the code were none, which a test rules out.
    fn identifier(self) -> LanguageIdentifier {
        self.code().parse().unwrap_or_default()
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(code: &str) -> Result<Self, UnknownLanguage> {
        (Self::ALL.into_iter())
            .find(|language| language.code() == code)
            .ok_or_else(|| UnknownLanguage(code.to_owned()))
    }
}

/// A language that no report is written in.
#[derive(Debug, thiserror::Error)]
#[error("no report is written in the language \"{0}\": choose en or ja")]
pub struct UnknownLanguage(String);

/// The messages of a language.
pub(crate) struct Messages {
    bundle: FluentBundle<FluentResource>,
}

impl Messages {
    /// A faulty line of the message file costs that message only; a test holds the files to none.
    pub(crate) fn new(language: Language) -> Self {
        let mut bundle = FluentBundle::new_concurrent(vec![language.identifier()]);
        // Isolation marks round arguments serve mixed directions of writing; no language here has them.
        bundle.set_use_isolating(false);
        let resource = match FluentResource::try_new(language.source().to_owned()) {
            Ok(resource) | Err((resource, _)) => resource,
        };
        bundle.add_resource_overriding(resource);
        Self { bundle }
    }

    /// Whether a message of this identifier exists.
    pub(crate) fn has(&self, id: &str) -> bool {
        (self.bundle.get_message(id)).is_some_and(|message| message.value().is_some())
    }

    /// A message with its arguments filled in; its identifier if the language does not have it. An
    /// argument that    /// was not given stays visible as `{$name}`.
    pub(crate) fn text(&self, id: &str, args: &FluentArgs<'_>) -> String {
        let message = self.bundle.get_message(id);
        let Some(pattern) = message.and_then(|message| message.value()) else {
            return id.to_owned();
        };
        let mut errors = Vec::new();
        (self.bundle)
            .format_pattern(pattern, Some(args), &mut errors)
            .into_owned()
    }

    /// A message whose arguments are texts already.
    pub(crate) fn say(&self, id: &str, args: &[(&str, &str)]) -> String {
        let args: FluentArgs<'_> = (args.iter())
            .map(|(name, value)| (*name, FluentValue::from(*value)))
            .collect();
        self.text(id, &args)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn identifiers(language: Language) -> BTreeSet<&'static str> {
        (language.source().lines())
            .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
            .filter_map(|line| Some(line.split_once(" = ")?.0))
            .collect()
    }

    #[test]
    fn languages_have_the_same_messages() {
        let [english, japanese] = Language::ALL.map(identifiers);
        assert!(english.len() > 150, "{}", english.len());
        assert_eq!(english, japanese);
    }

    #[test]
    fn no_message_is_faulty_or_there_twice() {
        for language in Language::ALL {
            let parsed = FluentResource::try_new(language.source().to_owned());
            let resource = parsed.map_err(|(_, errors)| errors).unwrap();
            let mut bundle = FluentBundle::new_concurrent(vec![language.identifier()]);
            bundle.add_resource(resource).unwrap();
            let messages = Messages::new(language);
            for id in identifiers(language) {
                assert!(messages.has(id), "{id} in {language:?}");
            }
        }
    }

    /// Arguments of a message, by name.
    fn arguments(language: Language, id: &str) -> BTreeSet<String> {
        let start = format!("{id} = ");
        let mut lines = (language.source().lines()).skip_while(|line| !line.starts_with(&start));
        let first = lines.next().into_iter();
        let rest = lines.take_while(|line| line.starts_with(' '));
        let text: Vec<&str> = first.chain(rest).collect();
        let text = text.join("\n");
        let names = text.split('$').skip(1).map(|rest| {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
            rest[..end.unwrap_or(rest.len())].replace("-number", "")
        });
        names.collect()
    }

    #[test]
    fn languages_use_the_same_arguments() {
        for id in identifiers(Language::English) {
            let [english, japanese] = Language::ALL.map(|language| arguments(language, id));
            assert_eq!(english, japanese, "{id}");
        }
    }

    #[test]
    fn a_message_that_is_missing_is_its_identifier() {
        let messages = Messages::new(Language::Japanese);
        assert_eq!(messages.say("column-of-nobody", &[]), "column-of-nobody");
        assert!(!messages.has("column-of-nobody"));
        assert!("fr".parse::<Language>().is_err());
        assert_eq!("ja".parse::<Language>().unwrap(), Language::Japanese);
        let codes = Language::ALL.map(|language| language.identifier().to_string());
        assert_eq!(codes, ["en", "ja"]);
    }
}
