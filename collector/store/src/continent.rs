//! The continent of a country.

use crate::Country;

/// The code of a country without a continent here.
const UNKNOWN: &str = "??";

/// Continents by code, each with its countries (ISO 3166-1, and XK for Kosovo). Where atlases
/// differ: Cyprus and Russia lie in Europe, Turkey and the Caucasus in Asia, Timor and Christmas
/// Island in Oceania. EU and AP are registries' codes of whole regions.
const CONTINENTS: [(&str, &str); 7] = [
    (
        "AF",
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG \
         ML MR MU MW MZ NA NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    ),
    ("AN", "AQ BV GS HM TF"),
    (
        "AS",
        "AE AF AM AP AZ BD BH BN BT CC CN GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK \
         MM MN MO MV MY NP OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
    ),
    (
        "EU",
        "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES EU FI FO FR GB GG GI GR HR HU IE IM IS IT JE \
         LI LT LU LV MC MD ME MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    ),
    (
        "NA",
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI \
         PA PM PR SV SX TC TT US VC VG VI",
    ),
    (
        "OC",
        "AS AU CK CX FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS",
    ),
    ("SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

/// For every pair of letters the continent's place in [`CONTINENTS`], from 1.
const PLACES: [u8; 26 * 26] = {
    let mut places = [0; 26 * 26];
    let mut continent = 0;
    while continent < CONTINENTS.len() {
        let codes = CONTINENTS[continent].1.as_bytes();
        let mut at = 0;
        while at + 1 < codes.len() {
            let place = place(codes[at], codes[at + 1]);
            assert!(places[place] == 0, "a country stands twice");
            places[place] = continent as u8 + 1;
            at += 3;
        }
        continent += 1;
    }
    places
};

/// Of two capital letters.
const fn place(first: u8, second: u8) -> usize {
    (first - b'A') as usize * 26 + (second - b'A') as usize
}

impl Country {
    /// Code of the continent that it lies in: AF, AN, AS, EU, NA, OC or SA; `??` for an unknown
    /// country and a code that no country has.
    pub fn continent(&self) -> &'static str {
        let place = match *self.as_str().as_bytes() {
            [first @ b'A'..=b'Z', second @ b'A'..=b'Z'] => PLACES[place(first, second)],
            _ => 0,
        };
        (usize::from(place).checked_sub(1)).map_or(UNKNOWN, |place| CONTINENTS[place].0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_lie_in_continents() {
        let of = |code| Country::from_code(code).unwrap().continent();
        let pairs = [
            ("ZA", "AF"),
            ("AQ", "AN"),
            ("JP", "AS"),
            ("TR", "AS"),
            ("DE", "EU"),
            ("CY", "EU"),
            ("US", "NA"),
            ("AU", "OC"),
            ("AS", "OC"),
            ("BR", "SA"),
            ("EU", "EU"),
            ("ZZ", "??"),
            ("QX", "??"),
        ];
        for (country, continent) in pairs {
            assert_eq!(of(country), continent, "{country}");
        }
        assert_eq!(Country::UNKNOWN.continent(), "??");
    }

    #[test]
    fn every_country_has_one() {
        // ISO 3166-1 has 249 codes; XK, EU and AP are not among them.
        let known = PLACES.iter().filter(|&&place| place > 0).count();
        assert_eq!(known, 249 + 3);
    }
}
