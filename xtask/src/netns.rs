//! Two network namespaces with a veth pair between them, for the demo.
//!
//! The namespaces have no route out. Dropping the value deletes both, and the pair with them.

use std::process::Command;

use anyhow::Result;
use noctule_netns::{Namespace, veth_pair};

/// Address of the sending end.
pub const SENDER: &str = "192.0.2.1";
/// Address of the telescope's own end, which is not dark.
pub const TELESCOPE: &str = "192.0.2.2";

/// The pair of namespaces.
pub struct Pair {
    sender: Namespace,
    telescope: Namespace,
}

impl Pair {
    /// Makes both, joined by a veth pair `wire` - `dark0` with `queues` queues.
    ///
    /// # Errors
    /// `ip` fails: this is not root, or the kernel has no namespaces.
    pub fn new(queues: u32) -> Result<Self> {
        let pair = Self {
            sender: Namespace::new("noctule-demo-sender")?,
            telescope: Namespace::new("noctule-demo-telescope")?,
        };
        let ends = [(&pair.sender, "wire"), (&pair.telescope, "dark0")];
        for (namespace, _) in ends {
            namespace.command("sysctl", &["-qw", "net.ipv6.conf.all.disable_ipv6=1"])?;
        }
        veth_pair(ends[0], ends[1], queues)?;
        for ((namespace, end), address) in ends.into_iter().zip([SENDER, TELESCOPE]) {
            let address = format!("{address}/24");
            namespace.command("ip", &["address", "add", &address, "dev", end])?;
            namespace.command("ip", &["link", "set", "dev", end, "arp", "on"])?;
        }
        Ok(pair)
    }

    /// A command in the sender's namespace.
    pub fn at_sender(&self, program: &str) -> Command {
        self.sender.prepare(program)
    }

    /// A command in the telescope's namespace.
    pub fn at_telescope(&self, program: &str) -> Command {
        self.telescope.prepare(program)
    }
}

/// Deletes namespaces that a demo or test left behind when it was killed.
pub fn sweep() {
    for name in noctule_netns::sweep() {
        println!("deleted the network namespace {name}, which was left behind");
    }
}
