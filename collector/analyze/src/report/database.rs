//! The tables of a report, and the execution of its questions.
//!
//! Each execution has a session of its own, in which the tables that the question reads are
//! registered with the files of the chosen sensors and days. Nothing carries over from one question
//! to the next.

use std::cell::{Ref, RefCell};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use datafusion::arrow::array::RecordBatch;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{DataFrame, SessionContext};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use noctule_store::{DailyTable, Table, layout};
use tokio::runtime::Runtime;

use super::chosen::Chosen;
use super::confirmed::ConfirmedFiles;
use super::period::Span;
use super::questions::{COMPLETENESS, CONFIRMED, Input, Question};
use super::rows::Rows;
use super::tables::Tables;
use crate::open::{self, AnyTable, Limits, OpenStore};
use crate::reading::Reading;
use crate::rule_data::RuleData;
use crate::table::StoreFile;

/// What the progress bar looks like. Its length is the number of executions that are known of.
const TEMPLATE: &str = "{elapsed} {bar:24} {pos}/{len} {wide_msg}";

/// The store's tables of one time zone and of the chosen sensors.
pub struct Database<'s> {
    store: &'s OpenStore,
    /// A session without tables: the template of those that questions are executed in.
    session: SessionContext,
    runtime: Runtime,
    zone: TimeZone,
    tables: Tables,
    sensors: BTreeSet<String>,
    rules: RuleData,
    confirmed: ConfirmedFiles,
    work: PathBuf,
    reading: RefCell<Reading>,
    bar: ProgressBar,
}

impl<'s> Database<'s> {
    /// Prepares the execution of questions over the files of `tables`, which are of these sensors.
    ///
    /// # Errors
    /// If threads cannot be started, or the folder for what spills cannot be used.
    pub fn new(
        store: &'s OpenStore,
        limits: &Limits,
        zone: TimeZone,
        tables: Tables,
        sensors: BTreeSet<String>,
        rules: RuleData,
    ) -> Result<Self> {
        let bar = ProgressBar::new(0);
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.set_style(ProgressStyle::with_template(TEMPLATE)?);
        Ok(Self {
            store,
            session: store.session(limits, &Arc::default())?,
            runtime: open::runtime(limits.threads)?,
            zone,
            tables,
            sensors,
            rules,
            confirmed: ConfirmedFiles::default(),
            work: limits.spill.clone(),
            reading: RefCell::default(),
            bar,
        })
    }

    /// The time zone whose days are reported.
    pub const fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The sensors whose files are read.
    pub const fn sensors(&self) -> &BTreeSet<String> {
        &self.sensors
    }

    /// The first day of the chosen sensors.
    pub fn first_day(&self) -> Option<Date> {
        self.tables.first_day()
    }

    /// What was read of the store so far.
    pub fn reading(&self) -> Ref<'_, Reading> {
        self.reading.borrow()
    }

    /// Names the stage in the progress bar.
    pub fn stage(&self, name: &str) {
        self.bar.set_message(name.to_owned());
        self.bar.tick();
    }

    /// Ends the progress bar.
    pub fn finish_progress(&self) {
        self.bar.finish_and_clear();
    }

    /// Executes a question over all days of a span at once.
    ///
    /// # Errors
    /// If the store cannot be read, or memory runs out.
    pub fn execute(&self, question: &Question, span: Span, chosen: &[Chosen]) -> Result<Rows> {
        let mut rows = Rows::default();
        self.bar.inc_length(1);
        self.execute_window(question, span, chosen, &mut rows)?;
        Ok(rows)
    }

    /// Executes a question over the days of a span, large days one at a time. Each row of the answer
    /// must be of one day.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn execute_by_days(
        &self,
        question: &Question,
        span: Span,
        chosen: &[Chosen],
    ) -> Result<Rows> {
        let mut rows = Rows::default();
        let windows = self.windows(question, span);
        self.bar.inc_length(windows.len() as u64);
        for window in windows {
            self.execute_window(question, window, chosen, &mut rows)?;
        }
        Ok(rows)
    }

    /// Runs of days of a span that are asked about together; days without files are in none.
    pub fn windows(&self, question: &Question, span: Span) -> Vec<Span> {
        self.tables.windows(question.inputs, span)
    }

    /// Computes the confirmed sources of a span, which questions then read as table `confirmed`.
    ///
    /// # Errors
    /// As [`Database::execute`]; if the folder for what spills cannot be written to.
    pub fn keep_confirmed(&mut self, span: Span) -> Result<()> {
        let windows = self.windows(&CONFIRMED, span);
        self.bar.inc_length(windows.len() as u64);
        for window in windows {
            let chosen = [self.rules.supersedes_table()];
            let session = self.session_for(&CONFIRMED, window, &chosen)?;
            let plan = self.plan(&session, CONFIRMED.sql)?;
            let mut file = ConfirmedFiles::create(&self.work, window, &plan.schema())?;
            self.run(&session, &plan, (window, CONFIRMED.sql), |batch| {
                Ok(file.rows().write(batch)?)
            })?;
            self.confirmed.add(file)?;
        }
        Ok(())
    }

    /// What rule data says of the store's rules.
    pub const fn rules(&self) -> &RuleData {
        &self.rules
    }

    /// Reads days of sensors interval by interval where confirmed sources need it: those whose daily
    /// ledger names several sets of expressions, and with `all` also those that have no daily tables.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn add_intervals(&mut self, all: bool) -> Result<()> {
        let every = Span::new(Date::MIN, Date::MAX);
        let (mut whole, mut changed) = (BTreeSet::new(), BTreeSet::new());
        for row in self.execute(&COMPLETENESS, every, &[])?.iter() {
            let day = (row.date("date")?, row.text("sensor")?.to_owned());
            match row.text("constants_first")? == row.text("constants_last")? {
                true => whole.insert(day),
                false => changed.insert(day),
            };
        }
        let dates: BTreeSet<Date> = changed.iter().map(|(date, _)| *date).collect();
        let dates = (!all).then_some(&dates);
        let wanted = |date: Date, sensor: &str| {
            let day = (date, sensor.to_owned());
            changed.contains(&day) || all && !whole.contains(&day)
        };
        (self.tables).add_intervals(self.store, &self.zone, dates, wanted)
    }

    /// When the intervals of a UTC date begin, by sensor, as the names of ledger files say.
    ///
    /// # Errors
    /// If the store cannot be listed.
    pub fn interval_starts(&self, date: Date) -> Result<Vec<(String, Timestamp)>> {
        let folder = layout::date_folder(Table::Ledger, date);
        let entries = self.store.files.list(&folder);
        let entries = entries.with_context(|| format!("cannot list the ledger of {date}"))?;
        let places = entries.iter().filter_map(|entry| {
            let (start, sensor) = layout::interval_and_sensor(Table::Ledger, &entry.path)?;
            (self.sensors.contains(sensor)).then(|| (sensor.to_owned(), start))
        });
        Ok(places.collect())
    }

    fn execute_window(
        &self,
        question: &Question,
        span: Span,
        chosen: &[Chosen],
        rows: &mut Rows,
    ) -> Result<()> {
        let session = self.session_for(question, span, chosen)?;
        let plan = self.plan(&session, question.sql)?;
        // An answer without rows has columns, too.
        rows.add(&RecordBatch::new_empty(plan.schema()))?;
        self.run(&session, &plan, (span, question.sql), |batch| {
            rows.add(batch)
        })
    }

    /// A session with the tables of a question.
    fn session_for(
        &self,
        question: &Question,
        span: Span,
        chosen: &[Chosen],
    ) -> Result<SessionContext> {
        let session = open::sibling(&self.session);
        for input in question.inputs {
            self.register(&session, *input, span)?;
        }
        for chosen in chosen {
            session.register_table(chosen.name, Arc::new(chosen.table()?))?;
        }
        Ok(session)
    }

    fn register(&self, session: &SessionContext, input: Input, span: Span) -> Result<()> {
        match input {
            Input::Daily(table) => {
                let files = self.tables.daily(table, span);
                self.store
                    .register(session, AnyTable::Daily(table), &files)?;
            }
            Input::Fingerprints => {
                let files = self.tables.intervals(Table::Fingerprints, span);
                self.register_intervals(session, Table::Fingerprints, files)?;
            }
            Input::Intervals => {
                for table in [Table::Flows, Table::Ledger] {
                    let files = self.tables.intervals(table, span);
                    self.register_intervals(session, table, files)?;
                }
            }
            Input::Confirmed => {
                let kept = self.confirmed.read(session, span);
                let confirmed = match self.runtime.block_on(kept)? {
                    Some(frame) => frame,
                    // The span has no days with files: the table has columns, but no rows.
                    None => self.matched(span)?,
                };
                session.register_table("confirmed", confirmed.into_view())?;
            }
            Input::ConfirmedEarlier => {
                let confirmed = self.confirmed(span)?;
                session.register_table("confirmed", confirmed.into_view())?;
            }
            Input::MatchedEarlier => {
                let confirmed = self.matched(span)?;
                session.register_table("confirmed", confirmed.into_view())?;
            }
        }
        Ok(())
    }

    fn register_intervals(
        &self,
        session: &SessionContext,
        table: Table,
        files: Vec<StoreFile>,
    ) -> Result<()> {
        let table = AnyTable::Interval(table);
        self.store.register_files(session, table, files)?;
        Ok(())
    }

    /// Confirmed sources of a span.
    ///
    /// # Errors
    /// As [`Database::execute`].
    pub fn confirmed(&self, span: Span) -> Result<DataFrame> {
        let session = self.session_for(&CONFIRMED, span, &[self.rules.supersedes_table()])?;
        Ok(self.runtime.block_on(session.sql(CONFIRMED.sql))?)
    }

    /// The same without rules that only flow rows carry: no flows are read.
    fn matched(&self, span: Span) -> Result<DataFrame> {
        let session = open::sibling(&self.session);
        self.register(&session, Input::Fingerprints, span)?;
        for table in [DailyTable::Flows, DailyTable::Ledger] {
            let table = AnyTable::Daily(table);
            self.store.register(&session, table, &[])?;
        }
        for table in [Table::Flows, Table::Ledger] {
            self.register_intervals(&session, table, Vec::new())?;
        }
        let supersedes = self.rules.supersedes_table();
        session.register_table(supersedes.name, Arc::new(supersedes.table()?))?;
        Ok(self.runtime.block_on(session.sql(CONFIRMED.sql))?)
    }

    fn plan(&self, session: &SessionContext, sql: &str) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = async { session.sql(sql).await?.create_physical_plan().await };
        Ok(self.runtime.block_on(plan)?)
    }

    /// Runs a plan and notes what it read.
    fn run(
        &self,
        session: &SessionContext,
        plan: &Arc<dyn ExecutionPlan>,
        (span, sql): (Span, &str),
        mut take: impl FnMut(&RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let began = Instant::now();
        self.runtime.block_on(async {
            let mut batches = execute_stream(Arc::clone(plan), session.task_ctx())?;
            while let Some(batch) = batches.next().await {
                take(&batch?)?;
            }
            anyhow::Ok(())
        })?;
        self.reading.borrow_mut().add(&**plan);
        self.bar.inc(1);
        log::debug!(
            "{} to {}: {:.2} s: {}",
            span.from,
            span.to,
            began.elapsed().as_secs_f64(),
            sql.lines().next().unwrap_or_default()
        );
        Ok(())
    }
}
