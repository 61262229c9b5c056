//! `noctule query`: answers a question in SQL.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionContext;
use jiff::civil::Date;
use noctule_store::layout::zone_folder;

use crate::args::QueryArgs;
use crate::functions::Geo;
use crate::open::{self, AnyTable, Limits, OpenStore};
use crate::outcome::Outcome;
use crate::reading::Reading;
use crate::report::database::Database;
use crate::report::period::Span;
use crate::report::tables::Tables;
use crate::rule_data::RuleData;
use crate::settings::{Settings, zone as zone_of};
use crate::{print, questions};

/// The table of confirmed sources, which no file of the store holds.
const CONFIRMED: &str = "confirmed";

/// Answers a question.
///
/// # Errors
/// If the question cannot be read, is not a query, or names unknown tables or columns; if the store
/// cannot be read, memory runs out, or the answer cannot be written.
pub fn run(args: &QueryArgs) -> Result<Outcome> {
    if args.question.as_deref() == Some("list") {
        questions::print();
        return Ok(Outcome::Whole);
    }
    let sql = question(args)?;
    let store = OpenStore::open(&args.common.store)?;
    let settings = Settings::read(&store.files)?;
    let zone = args.timezone.as_ref().unwrap_or(&settings.report_timezone);
    zone_of(zone)?;
    let limits = Limits::of(&args.common)?;
    let geo = Arc::new(Geo::open(&args.common)?);
    let context = store.session(&limits, &geo)?;
    let named = names_of(&context, &sql)?;
    for table in AnyTable::all().filter(|table| named.contains(table.name())) {
        let files = match table {
            AnyTable::Interval(_) => store.files.list(table.name())?,
            // Days of two zones overlap: packets would count twice if both were read.
            AnyTable::Daily(daily) => {
                let files = store.files.list(&zone_folder(daily, zone))?;
                if files.is_empty() {
                    log::warn!(
                        "there are no days of {zone} in {}: `noctule rollup` makes them",
                        table.name()
                    );
                }
                files
            }
        };
        store.register(&context, table, &files)?;
    }
    let began = Instant::now();
    if named.contains(CONFIRMED) {
        context.register_table(CONFIRMED, confirmed(&store, &settings, &limits, zone)?)?;
    }
    let runtime = open::runtime(limits.threads)?;
    let (plan, schema, batches) = runtime.block_on(async {
        let frame = context.sql(&sql).await?;
        if !matches!(
            frame.logical_plan(),
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_)
        ) {
            let plan = frame.create_physical_plan().await?;
            let schema = plan.schema();
            let batches = collect(Arc::clone(&plan), context.task_ctx()).await?;
            return anyhow::Ok((plan, schema, batches));
        }
        bail!("a question must only read: begin it with SELECT or WITH")
    })?;
    let taken = began.elapsed();
    print::answer(args.format, args.out.as_deref(), &schema, &batches)?;
    if args.explain {
        let mut reading = Reading::default();
        reading.add(&*plan);
        eprintln!(
            "{}",
            displayable(&*plan).set_show_statistics(false).indent(false)
        );
        eprintln!(
            "{:.3} s; {} octets read of {} files",
            taken.as_secs_f64(),
            reading.scanned,
            reading.files()
        );
    }
    Ok(store.outcome(args.common.strict))
}

/// The table of confirmed sources, over the whole store.
fn confirmed(
    store: &OpenStore,
    settings: &Settings,
    limits: &Limits,
    zone: &str,
) -> Result<Arc<dyn TableProvider>> {
    let rules = RuleData::read(&store.files, settings)?;
    let name = zone;
    let zone = zone_of(name)?;
    let tables = Tables::list(store, &zone, name)?;
    let sensors = tables.sensors(Span::new(Date::MIN, Date::MAX));
    let mut database = Database::new(store, limits, zone, tables, sensors, rules)?;
    database.add_intervals(true)?;
    database.finish_progress();
    let confirmed = database.confirmed(Span::new(Date::MIN, Date::MAX))?;
    Ok(confirmed.into_view())
}

fn question(args: &QueryArgs) -> Result<String> {
    match (&args.sql, &args.file) {
        (_, Some(file)) => std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the question in {}", file.display())),
        (Some(sql), None) if sql == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text)?;
            Ok(text)
        }
        (Some(sql), None) => Ok(sql.clone()),
        (None, None) => {
            let name = args.question.as_deref().unwrap_or_default();
            questions::find(name).map(str::to_owned)
        }
    }
}

/// The tables that a question names.
fn names_of(context: &SessionContext, sql: &str) -> Result<BTreeSet<String>> {
    let state = context.state();
    let statement = state.sql_to_statement(sql, &state.config().options().sql_parser.dialect)?;
    let named = state.resolve_table_references(&statement)?.into_iter();
    let bare = named.filter_map(|name| match name {
        TableReference::Bare { table } => Some(table.to_string()),
        _ => None,
    });
    Ok(bare.collect())
}
