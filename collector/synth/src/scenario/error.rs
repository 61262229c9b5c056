//! Why a scenario could not be written.

use crate::error::SynthError;

/// Why a scenario could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The plan is invalid.
    #[error("cannot follow the scenario's plan: {what}; please report it")]
    Plan {
        /// What is wrong with it.
        what: String,
    },
    /// A file could not be written, or the traffic could not be generated.
    #[error(transparent)]
    Synth(#[from] SynthError),
}
