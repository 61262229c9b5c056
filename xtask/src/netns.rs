//! Two network namespaces with a veth pair between them, for the demo.
//!
//! The namespaces have no route out. Dropping the value deletes both, and the pair with them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

/// Address of the sending end.
pub const SENDER: &str = "192.0.2.1";
/// Address of the telescope's own end, which is not dark.
pub const TELESCOPE: &str = "192.0.2.2";

/// The pair of namespaces.
pub struct Pair {
    sender: String,
    telescope: String,
}

impl Pair {
    /// Makes both, joined by a veth pair `wire` - `dark0` with `queues` queues.
    ///
    /// # Errors
    /// `ip` fails: the user is not root, or the kernel has no network namespaces.
    pub fn new(queues: u32) -> Result<Self> {
        let id = std::process::id();
        let pair = Self {
            sender: format!("noctule-demo-{id}-sender"),
            telescope: format!("noctule-demo-{id}-telescope"),
        };
        for name in [&pair.sender, &pair.telescope] {
            ip(&["netns", "add", name]).context("cannot make a network namespace")?;
            shell::output(
                in_namespace(name, "sysctl").args(["-qw", "net.ipv6.conf.all.disable_ipv6=1"]),
            )?;
        }
        let count = queues.to_string();
        let queues = ["numtxqueues", &count, "numrxqueues", &count];
        let first = ["link", "add", "wire", "netns", &pair.sender];
        let second = [
            "type",
            "veth",
            "peer",
            "name",
            "dark0",
            "netns",
            &pair.telescope,
        ];
        ip(&[&first[..], &queues, &second, &queues].concat())?;
        for (name, end, address) in [
            (&pair.sender, "wire", SENDER),
            (&pair.telescope, "dark0", TELESCOPE),
        ] {
            ip(&[
                "-n",
                name,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                end,
            ])?;
            ip(&["-n", name, "link", "set", end, "up"])?;
        }
        Ok(pair)
    }

    /// A command in the sender's namespace.
    pub fn at_sender(&self, program: &str) -> Command {
        in_namespace(&self.sender, program)
    }

    /// A command in the telescope's namespace.
    pub fn at_telescope(&self, program: &str) -> Command {
        in_namespace(&self.telescope, program)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for name in [&self.sender, &self.telescope] {
            // Deleting fails for a namespace that was never made.
            let _ = ip(&["netns", "del", name]);
        }
    }
}

/// Deletes namespaces that a killed demo or test left behind: those whose name contains the id of a
/// process that no longer runs.
pub fn sweep() {
    let names = ip(&["netns", "list"]).unwrap_or_default();
    let left = |name: &&str| {
        let process = name.split('-').find(|part| part.parse::<u32>().is_ok());
        name.starts_with("noctule-")
            && process.is_some_and(|id| !Path::new("/proc").join(id).exists())
    };
    let names = names.lines().filter_map(|line| line.split(' ').next());
    for name in names.filter(left) {
        println!("deleting the network namespace {name}, which was left behind");
        // Another process may be deleting it, too.
        let _ = ip(&["netns", "del", name]);
    }
}

fn in_namespace(name: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", name, program]);
    command
}

fn ip(arguments: &[&str]) -> Result<String> {
    shell::output(Command::new("ip").args(arguments))
}
