//! The store's daily tables of one zone, period by period, for questions whose text never changes.
//!
//! A question names the tables that it reads. Before it is asked, each of them is made known with
//! the files of the chosen sensors and of the days that it is asked about and no others, so that
//! nothing else is opened. What is chosen besides (ports, countries) stands in small tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use datafusion::arrow::array::{ArrayRef, Date32Array, Int64Array, RecordBatch, StringViewArray};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::common::ScalarValue;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{DataFrame, SessionContext};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use noctule_store::Table;
use noctule_store::files::Entry;
use tokio::runtime::Runtime;

use super::confirmed::Kept;
use super::period::days;
use super::questions::CONFIRMED;
use super::rows::{Rows, number_of};
use crate::daily::DailyTable;
use crate::open::{AnyTable, FOREIGN, Limits, OpenStore, hive};
use crate::query;
use crate::reading::Reading;
use crate::rollup::interval_place;
use crate::table::StoreFile;

/// Files of so many octets are asked about together: some millions of rows.
const WINDOW_OCTETS: u64 = 48 << 20;
/// Days that are asked about together, however small.
const WINDOW_DAYS: usize = 62;

/// What the progress bar looks like; its length is what is known to be ahead.
const TEMPLATE: &str = "{elapsed} {bar:24} {pos}/{len} {wide_msg}";

/// A table that a question reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// A daily table.
    Daily(DailyTable),
    /// `fingerprints`, whose `date` is the day of the report's zone.
    Fingerprints,
    /// The answer to [`CONFIRMED`].
    Confirmed,
    /// The same as far as `fingerprints` alone can say it: without rules that flows carry.
    Matched,
}

/// A question in SQL.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// Its text.
    pub sql: &'static str,
    /// Tables of the store that it reads, in the order in which they are made known: what is confirmed
    /// comes first, since to work that out makes other days' flows known.
    pub reads: &'static [Reads],
}

/// Files of a table by day, of the chosen sensors only.
type ByDay = BTreeMap<Date, Vec<(String, Entry)>>;

/// A column of a table of what is chosen.
pub enum Values {
    /// Texts.
    Texts(Vec<String>),
    /// Whole numbers.
    Ints(Vec<i64>),
    /// Dates.
    Dates(Vec<Date>),
}

/// Where questions are asked.
pub struct Context<'s> {
    store: &'s OpenStore,
    session: SessionContext,
    runtime: Runtime,
    /// The zone whose days are reported.
    pub zone: TimeZone,
    daily: BTreeMap<DailyTable, ByDay>,
    fingerprints: ByDay,
    confirmed: Kept,
    sensors: BTreeSet<String>,
    /// What was read so far.
    pub reading: Reading,
    bar: ProgressBar,
}

impl<'s> Context<'s> {
    /// Lists the daily files of a zone. What is kept meanwhile stands in the folder for what spills.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub fn new(
        store: &'s OpenStore,
        limits: &Limits,
        zone: TimeZone,
        zone_folder: &str,
    ) -> Result<Self> {
        let mut daily = BTreeMap::new();
        for table in DailyTable::ALL {
            let mut by_day = ByDay::new();
            for entry in store
                .files
                .list(&format!("{}/zone={zone_folder}", table.name()))?
            {
                let folders = hive(table.name(), &entry.path);
                let place = folders.as_ref().and_then(|folders| {
                    let date = folders.get("date")?.parse::<Date>().ok()?;
                    Some((date, (*folders.get("sensor")?).to_owned()))
                });
                match place {
                    Some((date, sensor)) => {
                        by_day.entry(date).or_default().push((sensor, entry));
                    }
                    None => {
                        store.skipped.add(&entry.path, FOREIGN);
                    }
                }
            }
            daily.insert(table, by_day);
        }
        let bar = ProgressBar::new(0);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(TEMPLATE)?);
        Ok(Self {
            store,
            session: store.session(limits, &Arc::default())?,
            runtime: query::runtime(limits.threads)?,
            zone,
            daily,
            fingerprints: ByDay::new(),
            confirmed: Kept::new(limits.spill.clone()),
            sensors: BTreeSet::new(),
            reading: Reading::default(),
            bar,
        })
    }

    /// Sensors that have a day between two, both included.
    pub fn known_sensors(&self, from: Date, to: Date) -> BTreeSet<String> {
        let ledger = self.daily.get(&DailyTable::Ledger);
        let files = ledger.into_iter().flat_map(|days| days.range(from..=to));
        files
            .flat_map(|(_, files)| files.iter().map(|(sensor, _)| sensor.clone()))
            .collect()
    }

    /// The first day of the chosen sensors.
    pub fn first_day(&self) -> Option<Date> {
        let ledger = self.daily.get(&DailyTable::Ledger)?;
        ledger.keys().next().copied()
    }

    /// The sensors whose files are read from now on.
    pub const fn sensors(&self) -> &BTreeSet<String> {
        &self.sensors
    }

    /// Chooses the sensors whose files are read, and lists their fingerprints.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub fn choose(&mut self, sensors: BTreeSet<String>) -> Result<()> {
        for by_day in self.daily.values_mut() {
            for files in by_day.values_mut() {
                files.retain(|(sensor, _)| sensors.contains(sensor));
            }
            by_day.retain(|_, files| !files.is_empty());
        }
        self.sensors = sensors;
        let table = Table::Fingerprints;
        for entry in self.store.files.list(table.name())? {
            let Some((start, sensor)) = interval_place(table, &entry.path) else {
                self.store.skipped.add(&entry.path, FOREIGN);
                continue;
            };
            if self.sensors.contains(sensor) {
                let date = start.to_zoned(self.zone.clone()).date();
                let sensor = sensor.to_owned();
                let files = self.fingerprints.entry(date).or_default();
                files.push((sensor, entry));
            }
        }
        Ok(())
    }

    /// Makes what is chosen known as a table.
    ///
    /// # Errors
    /// Columns of different lengths.
    pub fn choose_table(&self, name: &str, columns: Vec<(&str, Values)>) -> Result<()> {
        let (mut fields, mut arrays): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for (column, values) in columns {
            let array: ArrayRef = match values {
                Values::Texts(texts) => Arc::new(StringViewArray::from_iter_values(texts)),
                Values::Ints(numbers) => Arc::new(Int64Array::from(numbers)),
                Values::Dates(dates) => Arc::new(Date32Array::from_iter_values(
                    dates.into_iter().map(number_of),
                )),
            };
            fields.push(Field::new(column, array.data_type().clone(), false));
            arrays.push(array);
        }
        let schema = Arc::new(Schema::new(fields));
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        let table = MemTable::try_new(schema, vec![vec![batch]])?;
        self.session.deregister_table(name)?;
        self.session.register_table(name, Arc::new(table))?;
        Ok(())
    }

    /// Says what is being done.
    pub fn stage(&self, what: &str) {
        self.bar.set_message(what.to_owned());
        self.bar.tick();
    }

    /// Asks about the days from one to another at once.
    ///
    /// # Errors
    /// A store that cannot be reached, memory that does not suffice.
    pub fn execute(&mut self, question: &Question, from: Date, to: Date) -> Result<Rows> {
        let mut rows = Rows::default();
        self.bar.inc_length(1);
        self.execute_window(question, from, to, &mut rows)?;
        Ok(rows)
    }

    /// Asks about the days from one to another, as many at a time as have few octets: one day at a
    /// time where each has many. The question's rows must each be of one day.
    ///
    /// # Errors
    /// As [`Context::execute`].
    pub fn execute_by_days(&mut self, question: &Question, from: Date, to: Date) -> Result<Rows> {
        let mut rows = Rows::default();
        let windows = self.windows(question.reads, from, to);
        self.bar.inc_length(windows.len() as u64);
        for (from, to) in windows {
            self.execute_window(question, from, to, &mut rows)?;
        }
        Ok(rows)
    }

    /// Runs of days that are asked about together; days of which there is no file stand in none.
    pub fn windows(&self, reads: &[Reads], from: Date, to: Date) -> Vec<(Date, Date)> {
        let mut windows: Vec<(Date, Date)> = Vec::new();
        let (mut octets, mut count) = (0, 0);
        let used = self.files_of(reads);
        for date in days(from, to) {
            let files = used.iter().filter_map(|days| days.get(&date)).flatten();
            let of_day: u64 = files.map(|(_, entry)| entry.bytes).sum();
            if of_day == 0 {
                continue;
            }
            match windows.last_mut() {
                Some(window) if octets + of_day <= WINDOW_OCTETS && count < WINDOW_DAYS => {
                    window.1 = date;
                    octets += of_day;
                    count += 1;
                }
                _ => {
                    windows.push((date, date));
                    (octets, count) = (of_day, 1);
                }
            }
        }
        windows
    }

    fn files_of(&self, reads: &[Reads]) -> Vec<&ByDay> {
        let mut used = Vec::new();
        for reads in reads {
            match reads {
                Reads::Daily(table) => used.extend(self.daily.get(table)),
                Reads::Fingerprints | Reads::Matched => used.push(&self.fingerprints),
                Reads::Confirmed => {
                    used.push(&self.fingerprints);
                    used.extend(self.daily.get(&DailyTable::Flows));
                }
            }
        }
        used
    }

    fn execute_window(
        &mut self,
        question: &Question,
        from: Date,
        to: Date,
        rows: &mut Rows,
    ) -> Result<()> {
        for reads in question.reads {
            self.register(*reads, from, to)?;
        }
        let plan = self.plan(question.sql)?;
        // The columns must be known without rows, too.
        rows.add(&RecordBatch::new_empty(plan.schema()))?;
        self.answer(&plan, (from, to), question.sql, |batch| rows.add(batch))?;
        self.bar.inc(1);
        Ok(())
    }

    fn plan(&self, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = async { self.session.sql(sql).await?.create_physical_plan().await };
        Ok(self.runtime.block_on(plan)?)
    }

    /// Carries out a plan, and takes down what it read.
    fn answer(
        &mut self,
        plan: &Arc<dyn ExecutionPlan>,
        (from, to): (Date, Date),
        sql: &str,
        mut take: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let began = Instant::now();
        self.runtime.block_on(async {
            let mut batches = execute_stream(Arc::clone(plan), self.session.task_ctx())?;
            while let Some(batch) = batches.next().await {
                take(&batch?)?;
            }
            anyhow::Ok(())
        })?;
        self.reading.add(&**plan);
        log::debug!(
            "{from} to {to}: {:.2} s: {}",
            began.elapsed().as_secs_f64(),
            sql.lines().next().unwrap_or_default()
        );
        Ok(())
    }

    /// Keeps which sources are confirmed on the days from one to another.
    fn keep_confirmed(&mut self, from: Date, to: Date) -> Result<()> {
        let missing = self.confirmed.missing(from, to).into_iter();
        let windows: Vec<_> = missing
            .flat_map(|(from, to)| self.windows(&[Reads::Confirmed], from, to))
            .collect();
        for (from, to) in windows {
            self.register(Reads::Daily(DailyTable::Flows), from, to)?;
            self.register(Reads::Fingerprints, from, to)?;
            let plan = self.plan(CONFIRMED)?;
            let mut writer = self.confirmed.writer(from, plan.schema())?;
            self.answer(&plan, (from, to), CONFIRMED, |batch| {
                Ok(writer.write(batch)?)
            })?;
            self.confirmed.finish(writer, from, to)?;
        }
        Ok(())
    }

    fn register(&mut self, reads: Reads, from: Date, to: Date) -> Result<()> {
        match reads {
            Reads::Daily(table) => {
                let files = self.daily.get(&table).into_iter();
                let files = files.flat_map(|days| days.range(from..=to));
                let entries: Vec<Entry> = files
                    .flat_map(|(_, files)| files.iter().map(|(_, entry)| entry.clone()))
                    .collect();
                self.register_files(table, &entries)?;
            }
            Reads::Fingerprints => {
                let table = AnyTable::Interval(Table::Fingerprints);
                let files = self
                    .fingerprints
                    .range(from..=to)
                    .flat_map(|(date, files)| {
                        files.iter().map(|(sensor, entry)| {
                            let day = ScalarValue::Date32(Some(number_of(*date)));
                            StoreFile::new(entry, vec![day, ScalarValue::from(sensor.as_str())])
                        })
                    });
                self.session.deregister_table(table.name())?;
                self.store
                    .register_files(&self.session, table, files.collect())?;
            }
            Reads::Confirmed => {
                self.keep_confirmed(from, to)?;
                let kept = self.confirmed.read(&self.session, from, to);
                match self.runtime.block_on(kept)? {
                    Some(frame) => self.name_confirmed(frame)?,
                    // No day has files, so that no flows are read.
                    None => self.register(Reads::Matched, from, to)?,
                }
            }
            Reads::Matched => {
                self.register(Reads::Fingerprints, from, to)?;
                self.register_files(DailyTable::Flows, &[])?;
                let frame = self.runtime.block_on(self.session.sql(CONFIRMED))?;
                self.name_confirmed(frame)?;
            }
        }
        Ok(())
    }

    fn name_confirmed(&self, frame: DataFrame) -> Result<()> {
        self.session.deregister_table("confirmed")?;
        let view = frame.into_view();
        self.session.register_table("confirmed", view)?;
        Ok(())
    }

    fn register_files(&self, table: DailyTable, entries: &[Entry]) -> Result<()> {
        self.session.deregister_table(table.name())?;
        let table = AnyTable::Daily(table);
        self.store.register(&self.session, table, entries)?;
        Ok(())
    }

    /// When intervals of a sensor begin whose ledger files stand under dates of UTC.
    ///
    /// # Errors
    /// A store that cannot be reached.
    pub fn interval_starts(&self, date: Date) -> Result<Vec<(String, jiff::Timestamp)>> {
        let entries = self
            .store
            .files
            .list(&format!("{}/date={date}", Table::Ledger.name()));
        let entries = entries.with_context(|| format!("cannot list the ledger of {date}"))?;
        let places = entries.iter().filter_map(|entry| {
            let (start, sensor) = interval_place(Table::Ledger, &entry.path)?;
            (self.sensors.contains(sensor)).then(|| (sensor.to_owned(), start))
        });
        Ok(places.collect())
    }

    /// Ends the progress bar.
    pub fn done(&self) {
        self.bar.finish_and_clear();
    }
}
