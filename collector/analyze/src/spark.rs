//! `noctule store spark-job`: prints the rollup for a Spark cluster, as one Python file.

use noctule_store::DailyTable;

use crate::daily::{rollup_sql, sql_digest};

/// The job, with places for the SQL of each table and its digest.
const JOB: &str = include_str!("../spark/rollup.py");

/// Prints the job, ready for `spark-submit`.
pub fn print() {
    print!("{}", job());
}

fn job() -> String {
    let mut job = JOB.to_owned();
    for table in DailyTable::ALL {
        let place = format!("@@{}@@", table.name());
        job = job.replace(&place, rollup_sql(table));
    }
    job.replace("@@sql_digest@@", &sql_digest())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_job_carries_the_sql_that_runs_here() {
        let job = job();
        for table in DailyTable::ALL {
            assert!(job.contains(rollup_sql(table)), "{}", table.name());
            // The SQL must not end the Python string that it is in.
            assert!(!rollup_sql(table).contains("\"\"\""));
        }
        assert!(!job.contains("@@"));
    }
}
