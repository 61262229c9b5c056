//! `noctule store spark-job`: prints the rollup for a Spark cluster, as one Python file.

use anyhow::Result;
use noctule_store::DailyTable;

use crate::daily::rollup_sql;
use crate::outcome::Outcome;

/// The job, with a place for each table's SQL.
const JOB: &str = include_str!("../spark/rollup.py");

/// Prints the job, ready for `spark-submit`.
///
/// # Errors
/// None: the signature is that of the other commands.
pub fn print() -> Result<Outcome> {
    print!("{}", job());
    Ok(Outcome::Whole)
}

fn job() -> String {
    let mut job = JOB.to_owned();
    for table in DailyTable::ALL {
        let place = format!("@@{}@@", table.name());
        job = job.replace(&place, rollup_sql(table));
    }
    job
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_carries_the_sql_that_runs_here() {
        let job = job();
        for table in DailyTable::ALL {
            assert!(job.contains(rollup_sql(table)), "{}", table.name());
            // Texts of Python that hold the SQL must not end early.
            assert!(!rollup_sql(table).contains("\"\"\""));
        }
        assert!(!job.contains("@@"));
    }
}
