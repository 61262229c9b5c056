//! `noctule export`: darknet events as Merit Network writes them, one JSON object a line.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use datafusion::arrow::array::{Array as _, AsArray as _, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{
    DataType, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, UInt32Type,
};
use futures_util::StreamExt as _;
use noctule_store::events::{EventRow, Events, Settings, Traffic};
use noctule_store::{Country, Table};

use crate::args::ExportArgs;
use crate::open::{self, AnyTable, Limits, OpenStore};
use crate::outcome::Outcome;
use crate::rule_data::RuleData;
use crate::settings;

/// Rows of flows in the order that events need, each with the packets that match rules of an event's fields.
const SQL: &str = include_str!("../sql/export/events.sql");

/// Writes events.
///
/// # Errors
/// If the store cannot be read, or the events cannot be written.
pub fn run(args: &ExportArgs) -> Result<Outcome> {
    let store = OpenStore::open(&args.common.store)?;
    let limits = Limits::of(&args.common)?;
    let context = store.session(&limits, &Arc::default())?;
    for table in [Table::Flows, Table::Fingerprints, Table::Ledger] {
        let files = store.files.list(table.name())?;
        store.register(&context, AnyTable::Interval(table), &files)?;
    }
    let runtime = open::runtime(limits.threads)?;
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => {
            let file = File::create(path);
            Box::new(BufWriter::new(
                file.with_context(|| format!("cannot write {}", path.display()))?,
            ))
        }
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let mut written = 0u64;
    let mut ongoing = 0u64;
    let mut write = |event: Option<noctule_store::events::Event>| -> Result<()> {
        if let Some(event) = event {
            written += 1;
            ongoing += u64::from(event.ongoing);
            event.write_line(&mut out)?;
        }
        Ok(())
    };
    let settings = settings::Settings::read(&store.files)?;
    let fields = RuleData::read(&store.files, &settings)?.event_fields_table();
    context.register_table(fields.name, Arc::new(fields.table()?))?;
    let filter = filter(args)?;
    let ignored = runtime.block_on(async {
        let end = context
            .sql(&format!("SELECT MAX(unix_millis(interval_start) + interval_seconds * 1000) FROM ledger WHERE {filter}"))
            .await?
            .collect()
            .await?;
        let end = (end.first().filter(|batch| batch.num_rows() > 0))
            .map(|batch| batch.column(0).as_primitive::<Int64Type>().clone())
            .filter(|ends| ends.is_valid(0))
            .map_or(0, |ends| ends.value(0));
        let mut events = Events::new(Settings::default(), end.saturating_mul(1000));
        let frame = context.sql(&SQL.replace("@@which@@", &filter)).await?;
        let mut batches = frame.execute_stream().await?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let rows = Rows::of(&batch)?;
            for at in 0..batch.num_rows() {
                write(events.push(&rows.row(at)?)?)?;
            }
        }
        let (last, ignored) = events.finish()?;
        write(last)?;
        anyhow::Ok(ignored)
    })?;
    out.flush()?;
    log::info!(
        "{written} events, {ongoing} of them perhaps not over yet; {} with fewer than {} destinations left out, with {} packets",
        ignored.events,
        Settings::default().least_destinations,
        ignored.packets
    );
    Ok(store.outcome(args.common.strict))
}

/// Which rows are wanted, as SQL.
fn filter(args: &ExportArgs) -> Result<String> {
    let mut parts = vec!["TRUE".to_owned()];
    if let Some(from) = args.days.from {
        parts.push(format!("date >= '{from}'"));
    }
    if let Some(to) = args.days.to {
        parts.push(format!("date <= '{to}'"));
    }
    for sensor in &args.days.sensor {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !sensor.chars().all(plain) {
            bail!("\"{sensor}\" is not the name of a sensor: small letters, digits and hyphens");
        }
    }
    if !args.days.sensor.is_empty() {
        parts.push(format!("sensor IN ('{}')", args.days.sensor.join("', '")));
    }
    Ok(parts.join(" AND "))
}

/// A batch of rows of the answer.
struct Rows {
    batch: RecordBatch,
}

impl Rows {
    fn of(batch: &RecordBatch) -> Result<Self> {
        // A plan may choose among several types for one kind of value.
        let schema = batch.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| {
                let wanted = match field.name().as_str() {
                    "source4" => DataType::UInt32,
                    "source6" => DataType::BinaryView,
                    "interval_start" => {
                        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
                    }
                    "country" => DataType::Utf8View,
                    "event_key" => DataType::Int32,
                    _ => DataType::Int64,
                };
                Ok((field.name().clone(), cast(column, &wanted)?))
            });
        let columns: Result<Vec<_>> = columns.collect();
        Ok(Self {
            batch: RecordBatch::try_from_iter(columns?)?,
        })
    }

    fn row(&self, at: usize) -> Result<EventRow> {
        let column = |name: &str| {
            self.batch
                .column_by_name(name)
                .with_context(|| format!("no column {name}"))
        };
        let number = |name: &str| -> Result<Option<i64>> {
            let column = column(name)?;
            let values = column.as_primitive::<Int64Type>();
            Ok(values.is_valid(at).then(|| values.value(at)))
        };
        let count = |name: &str| number(name).map(|value| value.unwrap_or(0).unsigned_abs());
        let source4 = column("source4")?.as_primitive::<UInt32Type>();
        let source: IpAddr = if source4.is_valid(at) {
            Ipv4Addr::from_bits(source4.value(at)).into()
        } else {
            let octets = column("source6")?.as_binary_view().value(at);
            Ipv6Addr::from(<[u8; 16]>::try_from(octets)?).into()
        };
        let key = column("event_key")?
            .as_primitive::<Int32Type>()
            .value(at)
            .cast_unsigned();
        let country = column("country")?.as_string_view();
        let country = country.is_valid(at).then(|| country.value(at));
        Ok(EventRow {
            source,
            port: (key >> 8) as u16,
            traffic: Traffic::from_number(key as u8).context("a kind of traffic")?,
            interval_start_us: (column("interval_start")?)
                .as_primitive::<TimestampMicrosecondType>()
                .value(at),
            first_ms: u32::try_from(count("first_ms")?)?,
            duration_ms: u32::try_from(count("duration_ms")?)?,
            packets: count("packets")?,
            bytes: count("bytes")?,
            destinations: number("destinations")?.unwrap_or(0).cast_unsigned(),
            country: country.and_then(Country::from_code),
            asn: number("asn")?.and_then(|asn| u32::try_from(asn).ok()),
            hits: [count("field1")?, count("field2")?, count("field3")?],
        })
    }
}
