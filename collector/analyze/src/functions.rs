//! SQL functions: addresses as texts, prefixes, countries, names of ports, and the two functions of
//! time that rollups use, under their names in Spark.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use datafusion::arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanBuilder, Int32Array, Int64Array, StringViewBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;
use ipnet::IpNet;
use noctule_page::service;
use noctule_store::cell::{Cell, Class};
use noctule_store::events::Traffic;
use noctule_store::geo::{AsnDb, CountryDb};
use noctule_store::protocol;

use crate::args::CommonArgs;
use crate::hll;

/// The country and AS files of a command line, if it names any.
#[derive(Debug, Default)]
pub struct Geo {
    /// Countries by address.
    pub country: Option<CountryDb>,
    /// AS numbers by address.
    pub asn: Option<AsnDb>,
}

impl Geo {
    /// Opens the files that a command line names.
    ///
    /// # Errors
    /// If a file cannot be read, or is neither a MaxMind DB nor CSV.
    pub fn open(args: &CommonArgs) -> anyhow::Result<Self> {
        Ok(Self {
            country: args.country_db.as_ref().map(CountryDb::open).transpose()?,
            asn: args.asn_db.as_ref().map(AsnDb::open).transpose()?,
        })
    }
}

/// Registers all functions in a session.
pub fn register(context: &SessionContext, geo: &Arc<Geo>) {
    let kinds = [
        Kind::Ip,
        Kind::CidrContains,
        Kind::PortName,
        Kind::Country,
        Kind::Asn,
        Kind::UnixMillis,
        Kind::TimestampMillis,
        Kind::EventKey,
    ];
    for kind in kinds {
        context.register_udf(ScalarUDF::from(Function {
            kind,
            geo: Shared(Arc::clone(geo)),
            signature: Signature::any(kind.arguments(), Volatility::Immutable),
        }));
    }
    hll::register(context);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Ip,
    CidrContains,
    PortName,
    Country,
    Asn,
    UnixMillis,
    TimestampMillis,
    EventKey,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::CidrContains => "cidr_contains",
            Self::PortName => "port_name",
            Self::Country => "country",
            Self::Asn => "asn",
            Self::UnixMillis => "unix_millis",
            Self::TimestampMillis => "timestamp_millis",
            Self::EventKey => "event_key",
        }
    }

    const fn arguments(self) -> usize {
        match self {
            Self::CidrContains | Self::PortName => 2,
            Self::EventKey => 4,
            _ => 1,
        }
    }

    fn returns(self) -> DataType {
        match self {
            Self::Ip | Self::PortName | Self::Country => DataType::Utf8View,
            Self::CidrContains => DataType::Boolean,
            Self::Asn | Self::UnixMillis => DataType::Int64,
            Self::EventKey => DataType::Int32,
            Self::TimestampMillis => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }
}

/// Geo files; two values are equal if they are the same object.
#[derive(Clone, Debug)]
struct Shared(Arc<Geo>);

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shared {}

impl std::hash::Hash for Shared {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Function {
    kind: Kind,
    geo: Shared,
    signature: Signature,
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.kind.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        match self.kind {
            Kind::Country if self.geo.0.country.is_none() => {
                plan_err!("country() needs a country file: add --country-db FILE")
            }
            Kind::Asn if self.geo.0.asn.is_none() => {
                plan_err!("asn() needs an AS file: add --asn-db FILE")
            }
            kind => Ok(kind.returns()),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let scalar = args
            .args
            .iter()
            .all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let answer: ArrayRef = match self.kind {
            Kind::Ip => ip(&arrays[0])?,
            Kind::CidrContains => cidr_contains(&arrays[0], &arrays[1])?,
            Kind::PortName => port_name(&arrays[0], &arrays[1])?,
            Kind::Country => {
                let mut answer = StringViewBuilder::new();
                for source in sources(&arrays[0])? {
                    let country = self.geo.0.country.as_ref().zip(source);
                    let country = country.and_then(|(db, source)| db.lookup(source));
                    match (source, country) {
                        (None, _) => answer.append_null(),
                        (Some(_), None) => answer.append_value("??"),
                        (Some(_), Some(country)) => answer.append_value(country.as_str()),
                    }
                }
                Arc::new(answer.finish())
            }
            Kind::Asn => {
                let numbers = sources(&arrays[0])?.into_iter().map(|source| {
                    let number = self.geo.0.asn.as_ref()?.lookup(source?)?;
                    Some(i64::from(number))
                });
                Arc::new(Int64Array::from_iter(numbers))
            }
            Kind::EventKey => event_key(&arrays)?,
            Kind::UnixMillis => {
                let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
                let times = cast(&arrays[0], &wanted)?;
                let times = times.as_primitive::<TimestampMicrosecondType>();
                let millis = times.iter().map(|time| time.map(|us| us.div_euclid(1_000)));
                Arc::new(Int64Array::from_iter(millis))
            }
            Kind::TimestampMillis => {
                let millis = cast(&arrays[0], &DataType::Int64)?;
                let millis = millis.as_primitive::<Int64Type>();
                let times = millis
                    .iter()
                    .map(|ms| ms.and_then(|ms| ms.checked_mul(1_000)));
                Arc::new(TimestampMicrosecondArray::from_iter(times).with_timezone("UTC"))
            }
        };
        if scalar && answer.len() == 1 {
            let value = datafusion::common::ScalarValue::try_from_array(&answer, 0)?;
            return Ok(ColumnarValue::Scalar(value));
        }
        Ok(ColumnarValue::Array(answer))
    }
}

/// The addresses of a column like `source4` or `source6`.
fn sources(array: &ArrayRef) -> Result<Vec<Option<IpAddr>>> {
    Ok(match array.data_type() {
        DataType::Null => vec![None; array.len()],
        DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64 => {
            let numbers = cast(array, &DataType::UInt32)?;
            let numbers = numbers.as_primitive::<UInt32Type>();
            numbers
                .iter()
                .map(|number| Some(Ipv4Addr::from_bits(number?).into()))
                .collect()
        }
        DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(16) => {
            let octets = cast(array, &DataType::BinaryView)?;
            let octets = octets.as_binary_view();
            (octets.iter())
                .map(|octets| {
                    let octets: [u8; 16] = octets?.try_into().ok()?;
                    Some(Ipv6Addr::from(octets).into())
                })
                .collect()
        }
        other => {
            return exec_err!(
                "an address is a number (source4) or 16 octets (source6), not {other}"
            );
        }
    })
}

fn ip(array: &ArrayRef) -> Result<ArrayRef> {
    let mut answer = StringViewBuilder::with_capacity(array.len());
    for source in sources(array)? {
        match source {
            None => answer.append_null(),
            Some(address) => answer.append_value(address.to_string()),
        }
    }
    Ok(Arc::new(answer.finish()))
}

fn cidr_contains(prefixes: &ArrayRef, addresses: &ArrayRef) -> Result<ArrayRef> {
    let prefixes = cast(prefixes, &DataType::Utf8View)?;
    let mut last: Option<(String, IpNet)> = None;
    let mut answer = BooleanBuilder::with_capacity(addresses.len());
    for (prefix, source) in prefixes.as_string_view().iter().zip(sources(addresses)?) {
        let (Some(prefix), Some(source)) = (prefix, source) else {
            answer.append_null();
            continue;
        };
        let net = match &last {
            Some((text, net)) if text == prefix => *net,
            _ => {
                let Ok(net) = prefix.parse::<IpNet>() else {
                    return exec_err!("\"{prefix}\" is not a prefix: write it as 192.0.2.0/24");
                };
                last = Some((prefix.to_owned(), net));
                net
            }
        };
        answer.append_value(net.contains(&source));
    }
    Ok(Arc::new(answer.finish()))
}

fn port_name(protocols: &ArrayRef, ports: &ArrayRef) -> Result<ArrayRef> {
    let protocols = cast(protocols, &DataType::Utf8View)?;
    let ports = cast(ports, &DataType::Int32)?;
    let mut answer = StringViewBuilder::new();
    let pairs = (protocols.as_string_view().iter()).zip(ports.as_primitive::<Int32Type>().iter());
    for (protocol, port) in pairs {
        let name = protocol.zip(port).and_then(|(protocol, port)| {
            let text = match protocol {
                "icmp" | "icmpv6" => format!("{}/{}", port >> 8, port & 0xff),
                _ => port.to_string(),
            };
            service(protocol, &text)
        });
        answer.append_option(name);
    }
    Ok(Arc::new(answer.finish()))
}

/// Port and kind of traffic of the event that a flow row belongs to: port * 256 + kind.
fn event_key(arrays: &[ArrayRef]) -> Result<ArrayRef> {
    let protocols = cast(&arrays[0], &DataType::Utf8View)?;
    let classes = cast(&arrays[1], &DataType::Utf8View)?;
    let ports = cast(&arrays[2], &DataType::Int32)?;
    let flags = cast(&arrays[3], &DataType::Int32)?;
    let (ports, flags) = (
        ports.as_primitive::<Int32Type>(),
        flags.as_primitive::<Int32Type>(),
    );
    let rows = protocols
        .as_string_view()
        .iter()
        .zip(classes.as_string_view().iter());
    let rows = rows.zip(ports.iter().zip(flags.iter()));
    let keys = rows.map(|((protocol, class), (port, flags))| {
        let class = Class::ALL
            .into_iter()
            .find(|known| Some(known.name()) == class)?;
        let port = port.and_then(|port| u16::try_from(port).ok());
        let cell = Cell::new(protocol::number(protocol?)?, class, port);
        let (traffic, port) = Traffic::of(cell, flags? as u8);
        Some(i32::from(port) << 8 | traffic as i32)
    });
    Ok(Arc::new(Int32Array::from_iter(keys)))
}
