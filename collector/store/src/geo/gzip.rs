//! Files that are compressed with gzip.

use std::io::Read as _;

use flate2::bufread::GzDecoder;

/// Most octets of a file, unpacked.
const MOST: u64 = 4 << 30;

/// The content of a file: unpacked, if it is compressed with gzip. Several members follow each
/// other; zeros behind the last one are ignored.
pub(super) fn unpacked(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    unpacked_up_to(bytes, MOST)
}

fn unpacked_up_to(bytes: Vec<u8>, most: u64) -> Result<Vec<u8>, String> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut content = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() && rest.iter().any(|&octet| octet != 0) {
        let left = most - content.len() as u64;
        let mut member = GzDecoder::new(rest);
        let read = member.by_ref().take(left + 1).read_to_end(&mut content);
        read.map_err(|error| format!("its gzip compression is damaged or cut short: {error}"))?;
        if content.len() as u64 > most {
            return Err(format!("unpacked, it is larger than {} GiB", most >> 30));
        }
        rest = member.into_inner();
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn members_are_joined_and_zeros_behind_them_ignored() {
        let plain = b"a,b".to_vec();
        assert_eq!(unpacked(plain.clone()).unwrap(), plain);
        let two = [packed(b"one\n"), packed(b"two\n"), vec![0; 600]].concat();
        assert_eq!(unpacked(two).unwrap(), b"one\ntwo\n");
    }

    #[test]
    fn what_is_cut_or_too_large_is_refused() {
        let whole = packed(&b"203.0.113.0/24,JP\n".repeat(100));
        for cut in 2..whole.len() {
            assert!(unpacked(whole[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        let garbage = [&whole[..], b"rubbish"].concat();
        assert!(unpacked(garbage).is_err());
        assert!(unpacked_up_to(whole.clone(), 1799).is_err());
        assert_eq!(unpacked_up_to(whole, 1800).unwrap().len(), 1800);
    }
}
