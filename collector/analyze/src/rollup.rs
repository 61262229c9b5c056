//! `noctule rollup`: daily tables.
//!
//! A day of one sensor is one change of the store ([`noctule_store::change`]): a new file of every daily table comes,
//! those of the same day go. A file's name is made of a digest of the files that it was made of and
//! a digest of the settings, so that a day whose files have not changed is not made again, and the
//! same rollup by another engine gives the same names. Files that cannot be used do not count: a
//! day is made again when they have been mended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use datafusion::arrow::array::{Array as _, AsArray as _, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use futures_util::StreamExt as _;
use jiff::Timestamp;
use noctule_store::change::publish_day;
use noctule_store::files::Entry;
use noctule_store::{DailyFiles, DailyTable, layout};
use tokio::runtime::Runtime;

use crate::args::RollupArgs;
use crate::daily::{DailyWriter, MADE_OF, rollup_sql};
use crate::functions::Geo;
use crate::open::{self, AnyTable, Limits, OpenStore};
use crate::outcome::Outcome;
use crate::settings::{Settings, zone};
use crate::work;

mod days;
mod options;

use days::{Day, Days};
use options::Options;

/// Makes what is missing or out of date.
///
/// # Errors
/// A store that cannot be reached or written to, settings that are none, memory that does not
/// suffice. Days before the one that failed are there.
pub fn run(args: &RollupArgs) -> Result<Outcome> {
    let store = OpenStore::open(&args.common.store)?;
    bring_up_to_date(&store, args)?;
    Ok(store.outcome(args.common.strict))
}

/// The same for a store that is open.
///
/// # Errors
/// As [`run`].
pub fn bring_up_to_date(store: &OpenStore, args: &RollupArgs) -> Result<()> {
    let settings = Settings::read(&store.files)?;
    let zone_name = args.timezone.as_ref().unwrap_or(&settings.report_timezone);
    let zone = zone(zone_name)?;
    let options = Options::read(args, &settings, &store.files)?;
    let mut limits = Limits::of(&args.common)?;
    let geo = Arc::new(Geo::open(&args.common)?);
    let now = Timestamp::now();
    let whole_from = settings.first_whole_day(&zone, now)?;
    let days = Days::find(store, &zone, args, whole_from, now)?;
    let runtime = open::runtime(limits.threads)?;
    let work = work::folder(&mut limits)?;
    let (mut made, mut current) = (0, 0);
    for day in days.days {
        let mut rollup = Rollup {
            store,
            zone: zone_name,
            day,
            options: &options,
            geo: &geo,
            limits: &limits,
            runtime: &runtime,
            work: work.path(),
        };
        let before = rollup.stored(&days.daily);
        if rollup.state(&before, args.redo) == State::Current {
            current += 1;
            continue;
        }
        let context = rollup.session()?;
        let damaged = rollup.day.retain(&store.skipped);
        let state = rollup.state(&before, args.redo);
        // Never a day of fewer files in the place of one of more.
        let kept = damaged && (state == State::Changed || rollup.day.inputs.is_empty());
        if kept {
            log::warn!(
                "{} {}: left as it is until its damaged files have been mended or removed",
                rollup.day.date,
                rollup.day.sensor
            );
        }
        if kept || state == State::Current {
            current += 1;
            continue;
        }
        let day = &rollup.day;
        if state == State::Changed {
            log::info!(
                "{} {}: its files have changed since it was rolled up",
                day.date,
                day.sensor
            );
        }
        made += 1;
        if args.dry_run {
            println!(
                "{} {}: {} files to roll up",
                day.date,
                day.sensor,
                day.inputs.len()
            );
            continue;
        }
        rollup.make(&context)?;
    }
    log::info!(
        "{made} days {}, {current} were up to date{}",
        if args.dry_run { "to make" } else { "made" },
        match days.open {
            0 => String::new(),
            open => format!(", {open} have not closed yet (--open-days takes them, too)"),
        }
    );
    Ok(())
}

/// How what stands there of a day is to what would be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is that.
    Current,
    /// It is of other files.
    Changed,
    /// Nothing stands there, or it is to be made again.
    Missing,
}

fn stem(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".parquet").unwrap_or(name)
}

/// One sensor's day that is to be made.
struct Rollup<'a> {
    store: &'a OpenStore,
    zone: &'a str,
    day: Day,
    options: &'a Options,
    geo: &'a Arc<Geo>,
    limits: &'a Limits,
    runtime: &'a Runtime,
    work: &'a std::path::Path,
}

impl Rollup<'_> {
    /// The files: their name is made of digests of inputs and settings.
    fn files(&self) -> DailyFiles {
        DailyFiles {
            zone: self.zone.to_owned(),
            date: self.day.date,
            sensor: self.day.sensor.clone(),
            name: format!("{}-{}", self.day.digest(), self.options.digest),
        }
    }

    /// What stands there of the day.
    fn stored<'d>(&self, daily: &'d BTreeMap<DailyTable, Vec<Entry>>) -> Vec<&'d Entry> {
        let files = self.files();
        (daily.iter())
            .flat_map(move |(table, entries)| {
                let folder = format!("{}/", files.folder(*table));
                entries
                    .iter()
                    .filter(move |entry| entry.path.starts_with(&folder))
            })
            .collect()
    }

    fn state(&self, before: &[&Entry], redo: bool) -> State {
        if before.len() != DailyTable::ALL.len() {
            return State::Missing;
        }
        let (name, inputs) = (self.files().name, self.day.digest());
        let stems: Vec<_> = before.iter().map(|entry| stem(&entry.path)).collect();
        if stems.iter().all(|stem| *stem == name) {
            return State::Current;
        }
        let of_inputs = |stem: &&str| stem.split_once('-').is_some_and(|(of, _)| of == inputs);
        match (stems.iter().all(of_inputs), redo) {
            (true, false) => State::Current,
            (true, true) => State::Missing,
            (false, _) => State::Changed,
        }
    }

    /// A session with the day's interval tables, whose files have been judged.
    fn session(&self) -> Result<SessionContext> {
        let context = self.store.session(self.limits, self.geo)?;
        for table in MADE_OF {
            let files = self.day.files_of(table);
            let table = AnyTable::Interval(table);
            let table = self.store.register(&context, table, &files)?;
            self.runtime.block_on(table.check(&context.state()))?;
        }
        Ok(context)
    }

    fn make(&self, context: &SessionContext) -> Result<()> {
        let Day { date, sensor, .. } = &self.day;
        let began = Instant::now();
        let place = || format!("cannot roll up {date} of sensor {sensor}");
        self.check_end(context).with_context(place)?;
        self.options.register(context)?;
        self.attribute_again(context)?;
        let made = DailyTable::ALL.map(|table| (table, self.work.join(format!("{table}.parquet"))));
        let mut rows = Vec::new();
        for (table, path) in &made {
            rows.push(self.write(context, *table, path).with_context(place)?);
            if *table != DailyTable::Ledger {
                self.store.register_work(context, *table, path)?;
            }
        }
        let made: Vec<_> = (made.iter())
            .map(|(table, path)| (*table, path.as_path()))
            .collect();
        publish_day(&self.store.files, &self.files(), &made).with_context(place)?;
        log::info!(
            "{date} {sensor}: {} flow keys, {} rows by port and country, of {} files, in {:.1} s",
            rows[0],
            rows[2],
            self.day.inputs.len(),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Refuses a zone whose days begin within an interval.
    fn check_end(&self, context: &SessionContext) -> Result<()> {
        const SQL: &str =
            "SELECT MAX(unix_millis(interval_start) + interval_seconds * 1000) FROM ledger";
        let end = self.day.end.as_millisecond();
        let batches = self
            .runtime
            .block_on(async { context.sql(SQL).await?.collect().await })?;
        let last = batches.first().filter(|batch| batch.num_rows() > 0);
        let last = last.map(|batch| batch.column(0).as_primitive::<Int64Type>());
        if last.is_some_and(|last| last.is_valid(0) && last.value(0) > end) {
            bail!(
                "days of this time zone do not begin where intervals do: choose another zone, or count with shorter intervals"
            );
        }
        Ok(())
    }

    /// Where geo files are given, they attribute the day's sources anew.
    fn attribute_again(&self, context: &SessionContext) -> Result<()> {
        let column = |function: &str, column: &str, given: bool| match given {
            true => format!("coalesce({function}(source4), {function}(source6)) AS {column}"),
            false => column.to_owned(),
        };
        if self.geo.country.is_none() && self.geo.asn.is_none() {
            return Ok(());
        }
        let country = column("country", "country", self.geo.country.is_some());
        let asn = column("asn", "asn", self.geo.asn.is_some());
        self.runtime.block_on(async {
            let stored = context.deregister_table("flows")?.context("flows are registered")?;
            context.register_table("flows_stored", stored)?;
            let sql = format!(
                "CREATE VIEW flows AS SELECT * EXCEPT (country, asn), {country}, {asn} FROM flows_stored"
            );
            context.sql(&sql).await?;
            anyhow::Ok(())
        })
    }

    fn write(
        &self,
        context: &SessionContext,
        table: DailyTable,
        path: &std::path::Path,
    ) -> Result<u64> {
        let about = serde_json::json!({
            "zone": layout::zone_in_paths(self.zone),
            "date": self.day.date.to_string(),
            "sensor": self.day.sensor,
            "files": self.day.inputs.len(),
            "settings": self.options.about,
        });
        let mut writer = DailyWriter::create(table, path, &about.to_string())?;
        self.runtime.block_on(async {
            let frame = context.sql(rollup_sql(table)).await?;
            let mut batches = frame.execute_stream().await?;
            while let Some(batch) = batches.next().await {
                writer.write(&batch?)?;
            }
            anyhow::Ok(())
        })?;
        writer.finish()
    }
}

/// A table of one row with whole numbers.
fn one_row(columns: &[(&str, i64)]) -> Result<MemTable> {
    let fields = columns
        .iter()
        .map(|(name, _)| Field::new(*name, DataType::Int64, false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let values = columns
        .iter()
        .map(|(_, value)| Arc::new(Int64Array::from(vec![*value])) as _);
    let batch = RecordBatch::try_new(Arc::clone(&schema), values.collect())?;
    Ok(MemTable::try_new(schema, vec![vec![batch]])?)
}
