//! What a report holds, and how it is written: one self-contained page, CSV and JSON.
//!
//! - [`model`]: a report as data, which `report.json` holds as it is.
//! - [`write()`]: the folder that readers get.
//! - [`missing()`]: what the message files lack for a report.
//! - [`service()`], [`country()`]: names of ports and countries.
//!
//! Nothing here asks the store: every figure arrives in the model and is only written down.

mod countries;
mod dates;
mod files;
mod language;
mod missing;
pub mod model;
mod numbers;
mod page;
mod plot;
mod printer;
mod services;
mod view;
mod write;

pub use countries::country;
pub use language::{Language, UnknownLanguage};
pub use missing::missing;
pub use services::service;
pub use write::{Error, Written, write};
