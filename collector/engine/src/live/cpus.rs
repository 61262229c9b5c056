//! Which CPUs the workers are pinned to.

use anyhow::{Result, anyhow};
use core_affinity::CoreId;

/// The CPUs that workers are pinned to, in turn: those of the configuration, or all usable ones.
///
/// # Errors
/// A wanted CPU is not among those that this process may use.
pub fn choose(wanted: &[usize]) -> Result<Vec<CoreId>> {
    let usable = core_affinity::get_core_ids().unwrap_or_default();
    if wanted.is_empty() {
        return Ok(usable);
    }
    (wanted.iter())
        .map(|&cpu| {
            (usable.iter().copied().find(|core| core.id == cpu)).ok_or_else(|| {
                let ids: Vec<_> = usable.iter().map(|core| core.id.to_string()).collect();
                anyhow!(
                    "cpus names CPU {cpu}, which this process may not use: it may use {}",
                    ids.join(", ")
                )
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cpu_that_is_not_there_is_named_with_those_that_are() {
        let all = choose(&[]).unwrap();
        assert!(!all.is_empty());
        let last = all[all.len() - 1].id;
        let twice: Vec<_> = choose(&[last, last]).unwrap();
        assert_eq!(
            twice.iter().map(|core| core.id).collect::<Vec<_>>(),
            [last; 2]
        );
        let error = choose(&[last, 9999]).unwrap_err().to_string();
        assert!(
            error.contains("CPU 9999") && error.contains(&last.to_string()),
            "{error}"
        );
    }
}
