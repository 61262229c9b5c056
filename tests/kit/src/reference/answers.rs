//! Rule 4's answers of UDP reflectors: what a payload from a port is by that protocol's own marks.

/// A UDP payload.
pub struct Payload<'a> {
    /// What was captured of it, as far as UDP's own length reaches.
    pub octets: &'a [u8],
    /// Its length by UDP's own length field.
    pub claimed: usize,
}

impl Payload<'_> {
    fn at(&self, place: usize) -> Option<u8> {
        self.octets.get(place).copied()
    }

    fn bit(&self, place: usize, mask: u8) -> Option<bool> {
        Some(self.at(place)? & mask != 0)
    }

    /// Does it begin like this? None where it ends before it differs.
    fn begins(&self, start: &[u8]) -> Option<bool> {
        let differs = self
            .octets
            .iter()
            .zip(start)
            .any(|(found, wanted)| found != wanted);
        match differs {
            true => Some(false),
            false if self.octets.len() < start.len() => None,
            false => Some(true),
        }
    }

    /// BER: a sequence (0x30) and its length, then an INTEGER; where what follows that begins.
    fn behind_ber_integer(&self, forms: &[u8]) -> Result<usize, Option<bool>> {
        if self.at(0).ok_or(None)? != 0x30 {
            return Err(Some(false));
        }
        let length = self.at(1).ok_or(None)?;
        let value = match length {
            0..=0x7f => 2,
            long if forms.contains(&long) => 2 + usize::from(long & 0x7f),
            _ => return Err(Some(false)),
        };
        if self.at(value).ok_or(None)? != 2 {
            return Err(Some(false));
        }
        Ok(value)
    }
}

/// Is this an answer? None if it ends before the octet that decides. Other ports have no answers.
pub fn is_answer(port: u16, payload: &Payload<'_>) -> Option<bool> {
    match port {
        17 | 19 => Some(payload.claimed > 0),
        53 | 137 | 5353 => payload.bit(2, 0x80),
        111 => all([
            payload.at(4).map(|octet| octet == 0),
            payload.at(5).map(|octet| octet == 0),
            payload.at(6).map(|octet| octet == 0),
            payload.at(7).map(|octet| octet == 1),
        ]),
        123 => {
            let first = payload.at(0)?;
            match first & 7 {
                4 | 5 => Some(true),
                6 => payload.bit(1, 0x80),
                7 => Some(first & 0x80 != 0),
                _ => Some(false),
            }
        }
        161 => match payload.behind_ber_integer(&[0x81, 0x82]) {
            // Version (one octet), community, then the PDU.
            Ok(version) => {
                let community = usize::from(payload.at(version + 4)?);
                Some(payload.at(version + 5 + community)? == 0xa2)
            }
            Err(known) => known,
        },
        389 => match payload.behind_ber_integer(&[0x81, 0x82, 0x84]) {
            Ok(number) => {
                let octets = usize::from(payload.at(number + 1)?);
                Some(matches!(
                    payload.at(number + 2 + octets)?,
                    0x64 | 0x65 | 0x73
                ))
            }
            Err(known) => known,
        },
        520 => Some(payload.at(0)? == 2),
        1900 => payload.begins(b"HTTP/"),
        3283 => payload.begins(&[0, 1]),
        3702 => Some(payload.at(0)? == b'<'),
        5060 => payload.begins(b"SIP/"),
        5683 => all([
            payload.at(0).map(|octet| octet >> 6 == 1),
            payload.at(1).map(|code| code >= 0x40),
        ]),
        10_001 => all([
            payload.at(0).map(|octet| octet == 1 || octet == 2),
            Some(payload.claimed > 4),
        ]),
        11_211 => any([
            payload.at(2).map(|octet| octet != 0),
            payload.at(3).map(|octet| octet != 0),
            payload.at(8).map(|octet| octet.is_ascii_uppercase()),
        ]),
        27_015 => all([
            payload.begins(&[0xff; 4]),
            payload
                .at(4)
                .map(|kind| matches!(kind, b'A' | b'D' | b'E' | b'I')),
        ]),
        27_960 => any([
            payload.begins(b"\xff\xff\xff\xffstatusR"),
            payload.begins(b"\xff\xff\xff\xffinfoR"),
        ]),
        _ => Some(false),
    }
}

/// One that does not hold decides; otherwise one without its octets leaves all open.
fn all<const N: usize>(parts: [Option<bool>; N]) -> Option<bool> {
    if parts.contains(&Some(false)) {
        Some(false)
    } else if parts.contains(&None) {
        None
    } else {
        Some(true)
    }
}

fn any<const N: usize>(parts: [Option<bool>; N]) -> Option<bool> {
    all(parts.map(|part| part.map(|holds| !holds))).map(|none| !none)
}
