//! Answers of queries as tables, CSV, JSON or Parquet.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::csv;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::json::{ArrayWriter, LineDelimitedWriter};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;

use crate::args::Form;

/// Writes an answer to a file, or to standard output.
///
/// # Errors
/// If the file cannot be created or written.
pub fn answer(
    form: Form,
    out: Option<&Path>,
    schema: &SchemaRef,
    batches: &[RecordBatch],
) -> Result<()> {
    let mut place: Box<dyn Write + Send> = match out {
        Some(path) => {
            let file = File::create(path);
            Box::new(file.with_context(|| format!("cannot write {}", path.display()))?)
        }
        None => Box::new(io::stdout()),
    };
    match form {
        Form::Table => writeln!(place, "{}", pretty_format_batches(batches)?)?,
        Form::Csv => {
            let mut writer = csv::WriterBuilder::new()
                .with_header(true)
                .build(&mut place);
            // An answer without rows has a header, too.
            writer.write(&RecordBatch::new_empty(schema.clone()))?;
            for batch in batches {
                writer.write(batch)?;
            }
        }
        Form::Json => {
            let mut writer = ArrayWriter::new(&mut place);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
            writeln!(place)?;
        }
        Form::Ndjson => {
            let mut writer = LineDelimitedWriter::new(&mut place);
            writer.write_batches(&batches.iter().collect::<Vec<_>>())?;
            writer.finish()?;
        }
        Form::Parquet => {
            let properties = WriterProperties::builder()
                .set_compression(Compression::ZSTD(ZstdLevel::default()));
            let properties = Some(properties.build());
            let mut writer = ArrowWriter::try_new(&mut place, schema.clone(), properties)?;
            for batch in batches {
                writer.write(batch)?;
            }
            writer.close()?;
        }
    }
    Ok(place.flush()?)
}
