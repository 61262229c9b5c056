//! `noctule query`: answers a question in SQL.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{collect, displayable};
use datafusion::prelude::SessionContext;
use noctule_store::layout::zone_folder;

use crate::args::QueryArgs;
use crate::functions::Geo;
use crate::open::{self, AnyTable, Limits, OpenStore};
use crate::outcome::Outcome;
use crate::reading::Reading;
use crate::settings::{Settings, zone as zone_of};
use crate::{print, questions};

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
    let zone = match &args.timezone {
        Some(zone) => zone.clone(),
        None => Settings::read(&store.files)?.report_timezone,
    };
    zone_of(&zone)?;
    let limits = Limits::of(&args.common)?;
    let geo = Arc::new(Geo::open(&args.common)?);
    let context = store.session(&limits, &geo)?;
    for table in tables_of(&context, &sql)? {
        let files = match table {
            AnyTable::Interval(_) => store.files.list(table.name())?,
            // Days of two zones overlap: packets would count twice if both were read.
            AnyTable::Daily(daily) => {
                let files = store.files.list(&zone_folder(daily, &zone))?;
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

/// The tables of the store that a question names.
fn tables_of(context: &SessionContext, sql: &str) -> Result<Vec<AnyTable>> {
    let state = context.state();
    let statement = state.sql_to_statement(sql, &state.config().options().sql_parser.dialect)?;
    let named = state.resolve_table_references(&statement)?;
    let is_named = |table: &AnyTable| {
        (named.iter())
            .any(|name| matches!(name, TableReference::Bare { table: t } if &**t == table.name()))
    };
    Ok(AnyTable::all().filter(is_named).collect())
}
