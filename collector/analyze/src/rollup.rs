//! `noctule rollup`: daily tables.
//!
//! A sensor's day is one change of the store ([`noctule_store::change`]): one new file of every daily
//! table, and the removal of the day's old files. The name of the files is made of a digest of the
//! files that they were made of and a digest of the settings. So a day whose files have not changed
//! is not made again, on whatever engine it was made. Damaged files are left out; the day is made
//! again when they have been mended.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use datafusion::arrow::array::{Array as _, AsArray as _};
use datafusion::arrow::datatypes::Int64Type;
use datafusion::prelude::SessionContext;
use futures_util::StreamExt as _;
use noctule_store::DailyTable;
use noctule_store::change::publish_day;
use tokio::runtime::Runtime;

use crate::args::RollupArgs;
use crate::daily::{DailyWriter, MADE_OF, rollup_sql};
use crate::functions::Geo;
use crate::open::{self, AnyTable, Limits, OpenStore};
use crate::outcome::Outcome;
use crate::work;

mod adopt;
mod days;
mod options;
mod plan;
mod research;

use days::Day;
use plan::{Plan, State};

/// Makes the days that are missing or whose files have changed, or publishes those that Spark
/// computed.
///
/// # Errors
/// If the store cannot be read or written, its settings are not valid, memory runs out, or a day to
/// adopt is not what a rollup would make. Days before the one that failed are in the store.
pub fn run(args: &RollupArgs) -> Result<Outcome> {
    let store = OpenStore::open(&args.common.store)?;
    match &args.adopt {
        Some(place) => adopt::run(&store, args, place)?,
        None => bring_up_to_date(&store, args)?,
    }
    Ok(store.outcome(args.common.strict))
}

/// Makes the days that are missing or whose files have changed.
///
/// # Errors
/// As [`run`].
pub fn bring_up_to_date(store: &OpenStore, args: &RollupArgs) -> Result<()> {
    let plan = Plan::read(store, args)?;
    let mut limits = Limits::of(&args.common)?;
    let geo = Arc::new(Geo::open(&args.common)?);
    let runtime = open::runtime(limits.threads)?;
    let work = work::folder(&mut limits)?;
    let rollup = Rollup {
        store,
        plan: &plan,
        geo: &geo,
        limits: &limits,
        runtime: &runtime,
        work: work.path(),
    };
    let (mut made, mut current) = (0, 0);
    for day in &plan.days.days {
        if plan.state(day, args.redo) == State::Current {
            current += 1;
            continue;
        }
        let session = rollup.session(day)?;
        let usable = day.without(&store.skipped);
        let damaged = usable.inputs.len() < day.inputs.len();
        let state = plan.state(&usable, args.redo);
        // A day is never replaced by one of fewer files.
        let kept = damaged && (state == State::Changed || usable.inputs.is_empty());
        if kept {
            log::warn!(
                "{} {}: left as it is until its damaged files have been mended or removed",
                day.date,
                day.sensor
            );
        }
        if kept || state == State::Current {
            current += 1;
            continue;
        }
        if state == State::Changed {
            log::info!(
                "{} {}: its files have changed since it was rolled up",
                day.date,
                day.sensor
            );
        }
        made += 1;
        if args.dry_run {
            let files = usable.inputs.len();
            println!("{} {}: {files} files to roll up", day.date, day.sensor);
            continue;
        }
        let about = || format!("cannot roll up {} of sensor {}", day.date, day.sensor);
        rollup.make(&session, &usable).with_context(about)?;
    }
    log::info!(
        "{made} days {}, {current} were up to date{}",
        if args.dry_run { "to make" } else { "made" },
        match plan.days.open {
            0 => String::new(),
            open => format!(", {open} have not closed yet (--open-days takes them, too)"),
        }
    );
    Ok(())
}

/// Makes the daily tables of days.
struct Rollup<'a> {
    store: &'a OpenStore,
    plan: &'a Plan,
    geo: &'a Arc<Geo>,
    limits: &'a Limits,
    runtime: &'a Runtime,
    work: &'a Path,
}

impl Rollup<'_> {
    /// A session with the day's interval tables. Damaged files have been left out and named.
    fn session(&self, day: &Day) -> Result<SessionContext> {
        let session = self.store.session(self.limits, self.geo)?;
        for table in MADE_OF {
            let files = day.files_of(table);
            let table = AnyTable::Interval(table);
            let table = self.store.register(&session, table, &files)?;
            self.runtime.block_on(table.check(&session.state()))?;
        }
        Ok(session)
    }

    /// Makes a day's tables and publishes them.
    fn make(&self, session: &SessionContext, day: &Day) -> Result<()> {
        let began = Instant::now();
        self.check_end(session, day)?;
        self.plan.options.register(session, day.date)?;
        self.attribute_again(session)?;
        let made = DailyTable::ALL.map(|table| (table, self.work.join(format!("{table}.parquet"))));
        let mut rows = Vec::new();
        for (table, path) in &made {
            rows.push(self.write(session, day, *table, path)?);
            if *table != DailyTable::Ledger {
                self.store.register_work(session, *table, path)?;
            }
        }
        let made = made.each_ref();
        let made = made.map(|(table, path)| (*table, path.as_path()));
        publish_day(&self.store.files, &self.plan.files(day), &made)?;
        log::info!(
            "{} {}: {} flow keys, {} rows by port and country, of {} files, in {:.1} s",
            day.date,
            day.sensor,
            rows[0],
            rows[2],
            day.inputs.len(),
            began.elapsed().as_secs_f64()
        );
        Ok(())
    }

    /// Refuses a time zone whose days begin within an interval.
    fn check_end(&self, session: &SessionContext, day: &Day) -> Result<()> {
        const SQL: &str =
            "SELECT MAX(unix_millis(interval_start) + interval_seconds * 1000) FROM ledger";
        let last = async { session.sql(SQL).await?.collect().await };
        let batches = self.runtime.block_on(last)?;
        let last = batches.first().filter(|batch| batch.num_rows() > 0);
        let last = last.map(|batch| batch.column(0).as_primitive::<Int64Type>());
        let end = day.end.as_millisecond();
        if last.is_some_and(|last| last.is_valid(0) && last.value(0) > end) {
            bail!(
                "days of this time zone do not begin where intervals do: choose another zone, or count with shorter intervals"
            );
        }
        Ok(())
    }

    /// Attributes the day's sources by the geo files of the command line, if it names any.
    fn attribute_again(&self, session: &SessionContext) -> Result<()> {
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
            let stored = session.deregister_table("flows")?;
            let stored = stored.context("flows are registered")?;
            session.register_table("flows_stored", stored)?;
            let sql = format!(
                "CREATE VIEW flows AS SELECT * EXCEPT (country, asn), {country}, {asn} FROM flows_stored"
            );
            session.sql(&sql).await?;
            anyhow::Ok(())
        })
    }

    /// Writes a table's rows to a file of this machine; returns their number.
    fn write(
        &self,
        session: &SessionContext,
        day: &Day,
        table: DailyTable,
        path: &Path,
    ) -> Result<u64> {
        let mut writer = DailyWriter::create(table, path, &self.plan.about(day))?;
        self.runtime.block_on(async {
            let frame = session.sql(rollup_sql(table)).await?;
            let mut batches = frame.execute_stream().await?;
            while let Some(batch) = batches.next().await {
                let batch = writer.columns(&batch?)?;
                writer.write(&batch)?;
            }
            anyhow::Ok(())
        })?;
        writer.finish()
    }
}
