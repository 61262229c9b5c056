//! FlowTuple files as a library reads them that is not ours, and FlowTuples of what tshark reads.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::program::{LIMIT, Running};
use crate::python;
use crate::tshark::Frame;

/// corsaro3's record: names and types, in its order.
pub const FIELDS: [(&str, &str); 19] = [
    ("time", "long"),
    ("src_ip", "long"),
    ("dst_ip", "long"),
    ("src_port", "int"),
    ("dst_port", "int"),
    ("protocol", "int"),
    ("ttl", "int"),
    ("tcp_flags", "int"),
    ("ip_len", "int"),
    ("tcp_synlen", "int"),
    ("tcp_synwinlen", "int"),
    ("packet_cnt", "long"),
    ("is_spoofed", "int"),
    ("is_masscan", "int"),
    ("maxmind_continent", "string"),
    ("maxmind_country", "string"),
    ("netacq_continent", "string"),
    ("netacq_country", "string"),
    ("prefix2asn", "long"),
];

/// A record as fastavro read it.
#[derive(Clone, Debug)]
pub struct Record(Vec<Value>);

impl Record {
    /// A field's value.
    ///
    /// # Panics
    /// There is no such field.
    pub fn value(&self, name: &str) -> &Value {
        let place = FIELDS.iter().position(|&(field, _)| field == name);
        &self.0[place.unwrap_or_else(|| panic!("no field {name}"))]
    }

    /// The value of a field with whole numbers of 0 or more.
    ///
    /// # Panics
    /// The value is not such a number.
    pub fn number(&self, name: &str) -> u64 {
        let value = self.value(name);
        (value.as_u64()).unwrap_or_else(|| panic!("{name} is {value}"))
    }

    /// The value of a text field.
    ///
    /// # Panics
    /// The value is not a text.
    pub fn text(&self, name: &str) -> &str {
        let value = self.value(name);
        (value.as_str()).unwrap_or_else(|| panic!("{name} is {value}"))
    }

    /// Its key: the fields before and after the packets.
    pub fn key(&self) -> Key {
        let names = FIELDS.map(|(name, _)| name);
        let numbers = [&names[..11], &names[12..14]].concat();
        numbers.into_iter().map(|name| self.number(name)).collect()
    }
}

/// The numbers of a record, all but its packets.
pub type Key = Vec<u64>;

/// Every record of a folder, file by file, as fastavro reads them.
///
/// # Panics
/// A file cannot be read, or is not of corsaro3's form.
pub fn read(python: &str, folder: &Path) -> Vec<(String, Vec<Record>)> {
    let mut command = Command::new(python);
    command
        .arg(python::script("replay/read_flowtuple.py"))
        .arg(folder);
    let said = Running::start(&mut command).wait(LIMIT).success().stdout;
    let files: Vec<Value> = serde_json::from_str(&said).expect("JSON");
    let fields = FIELDS.map(|(name, kind)| serde_json::json!([name, kind]));
    (files.iter())
        .map(|file| {
            assert_eq!(file["namespace"], "org.caida.corsaro");
            assert_eq!(file["name"], "flowtuple");
            assert_eq!(file["codec"], "deflate");
            assert_eq!(file["fields"], Value::from(fields.to_vec()));
            let records = file["records"].as_array().expect("records");
            let record = |record: &Value| Record(record.as_array().expect("a record").clone());
            let name = file["file"].as_str().expect("a name").to_owned();
            (name, records.iter().map(record).collect())
        })
        .collect()
}

/// The sum of `packet_cnt`.
pub fn packets(files: &[(String, Vec<Record>)]) -> u64 {
    let records = files.iter().flat_map(|(_, records)| records);
    records.map(|record| record.number("packet_cnt")).sum()
}

/// The FlowTuple of a frame by what tshark reads in it; none when its destination is not dark.
///
/// # Panics
/// tshark gives it no time.
pub fn of_frame(frame: &Frame, is_dark: impl Fn(Ipv4Addr) -> bool) -> Option<Key> {
    let number = |name: &str| frame.number(name).unwrap_or(0);
    let address = |name: &str| {
        frame
            .first(name)
            .and_then(|text| text.parse::<Ipv4Addr>().ok())
    };
    let (source, destination) = (address("ip.src")?, address("ip.dst")?);
    if !is_dark(destination) {
        return None;
    }
    let seconds = frame.first("frame.time_epoch").expect("a time");
    let seconds: u64 = (seconds
        .split_once('.')
        .expect("parts of a second")
        .0
        .parse())
    .expect("a time");
    let protocol = number("ip.proto");
    let later_fragment = number("ip.frag_offset") > 0;
    let (ports, flags) = match protocol {
        _ if later_fragment => ([None; 2], None),
        1 => (
            ["icmp.type", "icmp.code"].map(|name| frame.number(name)),
            None,
        ),
        6 => {
            let ports = ["tcp.srcport", "tcp.dstport"].map(|name| frame.number(name));
            (ports, frame.number("tcp.flags"))
        }
        17 => (
            ["udp.srcport", "udp.dstport"].map(|name| frame.number(name)),
            None,
        ),
        _ => ([None; 2], None),
    };
    let [source_port, destination_port] = ports.map(|port| port.unwrap_or(0));
    // tshark's flags have NS in front.
    let flags = flags.map(|flags| flags & 0xff);
    let is_syn = flags == Some(2);
    let of_syn = |name: &str| if is_syn { number(name) } else { 0 };
    let ttl = number("ip.ttl");
    let last = source.octets()[3];
    let connection = [2, 16, 4, 1, 3, 18, 17, 24, 25];
    let is_spoofed = match protocol {
        1 | 17 | 41 => false,
        6 => flags.is_some_and(|flags| !connection.contains(&(flags & 0x3f))),
        _ => true,
    } || (protocol != 1 && (ttl >= 200 || ports.contains(&Some(0))))
        || later_fragment
        || number("ip.flags.rb") == 1
        || last == 0
        || last == 255
        || source == destination;
    let mixed = u64::from(destination.to_bits()) ^ destination_port ^ number("tcp.seq");
    let is_probe = flags.is_some_and(|flags| flags & 0x17 == 2);
    let is_masscan = is_probe && number("ip.id") == mixed & 0xffff;
    Some(vec![
        seconds / 60 * 60,
        source.to_bits().into(),
        destination.to_bits().into(),
        source_port,
        destination_port,
        protocol,
        ttl,
        flags.unwrap_or(0),
        number("ip.len"),
        of_syn("tcp.hdr_len"),
        of_syn("tcp.window_size_value"),
        is_spoofed.into(),
        is_masscan.into(),
    ])
}
