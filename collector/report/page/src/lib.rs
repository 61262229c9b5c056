//! What a report holds, and how it is written: one self-contained page, CSV and JSON.
//!
//! - [`model`]: a report as data, which `report.json` holds as it is.
//!
//! Nothing here asks the store: every figure arrives in the model and is only written down.

pub mod model;
