//! Names of countries, from a table that this project keeps (`data/countries.tsv`): ISO 3166-1's
//! codes, and XK, EU and AP, which registries use besides.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::Language;

const TABLE: &str = include_str!("../data/countries.tsv");

/// English and Japanese name by code.
static COUNTRIES: LazyLock<HashMap<&str, [&str; 2]>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter_map(|line| {
        let mut fields = line.split('\t');
        Some((fields.next()?, [fields.next()?, fields.next()?]))
    });
    rows.collect()
});

/// The short name of a country, as reports of the language use it; none for an unknown code.
pub fn country(code: &str, language: Language) -> Option<&'static str> {
    let [english, japanese] = COUNTRIES.get(code)?;
    Some(match language {
        Language::English => english,
        Language::Japanese => japanese,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// ISO 3166-1 alpha-2 by first letter: the second letters.
    const CODES: &[(&str, &str)] = &[
        ("A", "DEFGILMOQRSTUWXZ"),
        ("B", "ABDEFGHIJLMNOQRSTVWYZ"),
        ("C", "ACDFGHIKLMNORUVWXYZ"),
        ("D", "EJKMOZ"),
        ("E", "CEGHRST"),
        ("F", "IJKMOR"),
        ("G", "ABDEFGHILMNPQRSTUWY"),
        ("H", "KMNRTU"),
        ("I", "DELMNOQRST"),
        ("J", "EMOP"),
        ("K", "EGHIMNPRWYZ"),
        ("L", "ABCIKRSTUVY"),
        ("M", "ACDEFGHKLMNOPQRSTUVWXYZ"),
        ("N", "ACEFGILOPRUZ"),
        ("O", "M"),
        ("P", "AEFGHKLMNRSTWY"),
        ("Q", "A"),
        ("R", "EOSUW"),
        ("S", "ABCDEGHIJKLMNORSTVXYZ"),
        ("T", "CDFGHJKLMNORTVWZ"),
        ("U", "AGMSYZ"),
        ("V", "ACEGINU"),
        ("W", "FS"),
        ("Y", "ET"),
        ("Z", "AMW"),
    ];

    #[test]
    fn every_code_has_a_name_in_each_language() {
        let mut codes: BTreeSet<String> = (CODES.iter())
            .flat_map(|(first, seconds)| {
                seconds
                    .chars()
                    .map(move |second| format!("{first}{second}"))
            })
            .collect();
        assert_eq!(codes.len(), 249);
        codes.extend(["XK", "EU", "AP"].map(str::to_owned));
        let have: BTreeSet<String> = COUNTRIES.keys().map(|&code| code.to_owned()).collect();
        assert_eq!(have, codes);
        assert_eq!(TABLE.lines().count(), codes.len(), "a code stands twice");
        for language in Language::ALL {
            let names: BTreeSet<&str> = codes
                .iter()
                .filter_map(|code| country(code, language))
                .collect();
            assert_eq!(names.len(), codes.len(), "names are different and there");
        }
    }

    #[test]
    fn names_are_those_of_reports() {
        let names = ["CN", "US", "KR", "TW", "HK", "RU", "GB", "VN"];
        let names = names.map(|code| country(code, Language::Japanese).unwrap());
        assert_eq!(
            names,
            [
                "中国",
                "米国",
                "韓国",
                "台湾",
                "香港",
                "ロシア",
                "英国",
                "ベトナム"
            ]
        );
        assert_eq!(country("QZ", Language::English), None);
    }
}
