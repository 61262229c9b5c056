//! The interfaces of a live run, each with the XDP program that is attached to it.

use std::os::fd::BorrowedFd;

use anyhow::{Result, anyhow, bail};
use noctule_capture::xdp::{
    AttachMode, Interface, Layer, LedgerReader, Promiscuous, VerdictReader, XdpError, XdpProgram,
    privilege,
};
use noctule_packet::darknet::Darknet;

use crate::config::{Live, ReceiveMode};
use crate::ledger::QueueId;

/// Finds the interfaces of a run and checks that they can be captured from.
///
/// # Errors
/// One does not exist, is down, is named twice, or is of a kind or mode that gets no frames; or the
/// process lacks a privilege.
pub fn find(config: &Live) -> Result<Vec<Interface>> {
    let mut found: Vec<Interface> = Vec::new();
    for name in &config.interfaces {
        let interface = Interface::find(name)?;
        if let Some(same) = found.iter().find(|one| one.index() == interface.index()) {
            bail!(
                "interface {} is named twice: name each interface once, whether by its name or by an alternative one",
                same.name()
            );
        }
        found.push(interface);
    }
    privilege::check()?;
    for interface in &found {
        let name = interface.name();
        if !interface.is_up()? {
            bail!("interface {name} is down: bring it up with `ip link set dev {name} up`");
        }
        let native = matches!(config.mode, ReceiveMode::Copy | ReceiveMode::ZeroCopy);
        if interface.layer() == Layer::Ip && native {
            bail!(
                "interface {name} has no Ethernet header, so that only generic XDP reads it: use --mode auto or --mode generic"
            );
        }
    }
    Ok(found)
}

/// An interface with its program.
struct Port {
    interface: Interface,
    queues: u32,
    program: XdpProgram,
    verdicts: VerdictReader,
    /// Held until the end, if it is configured.
    promiscuous: Option<Promiscuous>,
}

/// The interfaces of a run.
pub struct Ports(Vec<Port>);

impl Ports {
    /// Loads a program for each interface; none is attached yet.
    ///
    /// # Errors
    /// The kernel refuses a program, or another program is attached to an interface.
    pub fn load(config: &Live, interfaces: &[Interface]) -> Result<Self> {
        let mut ports = Vec::new();
        for interface in interfaces {
            let queues = interface.rx_queues()?;
            let darknet = &config.common.darknet;
            let program = XdpProgram::load(interface, queues, darknet, config.unserved)?;
            program.check_free()?;
            ports.push(Port {
                interface: interface.clone(),
                queues,
                verdicts: program.verdict_reader(),
                program,
                promiscuous: None,
            });
        }
        Ok(Self(ports))
    }

    /// All RX queues, by interface.
    pub fn queues(&self) -> Vec<QueueId> {
        (0..)
            .zip(&self.0)
            .flat_map(|(interface, port)| {
                (0..port.queues).map(move |queue| QueueId { interface, queue })
            })
            .collect()
    }

    /// The interface of a queue.
    pub fn interface(&self, of: QueueId) -> &Interface {
        &self.0[usize::from(of.interface)].interface
    }

    /// The interfaces.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        self.0.iter().map(|port| &port.interface)
    }

    /// Reads the counters of a queue's interface.
    pub fn verdicts(&self, of: QueueId) -> VerdictReader {
        self.0[usize::from(of.interface)].verdicts.clone()
    }

    /// Gives a queue its socket.
    ///
    /// # Errors
    /// The kernel refuses it.
    pub fn serve(&mut self, queue: QueueId, socket: BorrowedFd<'_>) -> Result<()> {
        let program = &mut self.0[usize::from(queue.interface)].program;
        Ok(program.serve(queue.queue, socket)?)
    }

    /// Attaches all programs, and switches on promiscuous mode where it is configured. Returns for
    /// each interface whether it is in generic mode.
    ///
    /// # Errors
    /// The kernel or a driver refuses; programs that are attached go with this value.
    pub fn attach(&mut self, config: &Live) -> Result<Vec<bool>> {
        let mut generic = Vec::new();
        for port in &mut self.0 {
            if config.promiscuous {
                port.promiscuous = Some(Promiscuous::start(&port.interface)?);
            }
            generic.push(attach(&mut port.program, config)? == AttachMode::Generic);
        }
        Ok(generic)
    }

    /// Detaches all programs.
    ///
    /// # Errors
    /// One cannot be detached; all others are.
    pub fn detach(&mut self) -> Result<()> {
        let mut result = Ok(());
        for port in &mut self.0 {
            if let Err(error) = port.program.detach() {
                result = Err(error.into());
            }
        }
        result
    }

    /// Writes another darknet into the idle generation of every program.
    ///
    /// # Errors
    /// The kernel refuses a change; the darknet in force stays everywhere.
    pub fn prepare(&mut self, darknet: &Darknet) -> Result<()> {
        for port in &mut self.0 {
            port.program.prepare(darknet)?;
        }
        Ok(())
    }

    /// Puts the darknet in force that was prepared last, on every interface or on none.
    ///
    /// # Errors
    /// The kernel refuses the change.
    pub fn flip(&mut self) -> Result<()> {
        for number in 0..self.0.len() {
            if let Err(error) = self.0[number].program.flip() {
                for changed in &mut self.0[..number] {
                    changed.program.flip()?;
                }
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Readers of the kernel's packet counts by port, which stay readable.
    pub fn ledgers(&self) -> Vec<LedgerReader> {
        (self.0.iter())
            .map(|port| port.program.ledger_reader())
            .collect()
    }

    /// Frames of each interface so far, by verdict.
    pub fn seen(&self) -> impl Iterator<Item = Seen> {
        self.0.iter().map(|port| {
            let mut seen = Seen::default();
            for queue in 0..port.queues {
                if let Ok(verdicts) = port.verdicts.read(queue) {
                    seen.dark += verdicts.matched();
                    seen.unserved +=
                        verdicts.unserved_passed.packets + verdicts.unserved_dropped.packets;
                    seen.passed += verdicts.passed.packets;
                    seen.not_parsed += verdicts.not_parsed.packets;
                }
            }
            seen
        })
    }
}

/// Frames of an interface, by verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Dark ones.
    pub dark: u64,
    /// Dark ones without a socket.
    pub unserved: u64,
    /// Those to other destinations.
    pub passed: u64,
    /// Those whose destination could not be read.
    pub not_parsed: u64,
}

impl Seen {
    /// All frames.
    pub const fn all(&self) -> u64 {
        self.dark + self.passed + self.not_parsed
    }
}

/// Attaches natively, or in generic mode where that is requested or allowed, or where a device has no
/// Ethernet header. Returns the mode.
fn attach(program: &mut XdpProgram, config: &Live) -> Result<AttachMode> {
    if program.interface().layer() == Layer::Ip {
        log::info!(
            "{}: its frames have no Ethernet header, so that they are read as IP, in generic mode",
            program.interface().name()
        );
        return Ok(program.attach(AttachMode::Generic)?);
    }
    if config.mode == ReceiveMode::Generic {
        return Ok(program.attach(AttachMode::Generic)?);
    }
    match program.attach(AttachMode::Native) {
        Err(error @ XdpError::Attach { .. }) if config.allow_generic => {
            log::warn!("{error}; attaching in generic mode instead, since it is allowed");
            Ok(program.attach(AttachMode::Generic)?)
        }
        other => Ok(other?),
    }
}

/// The error of a run whose interfaces were removed, all or some.
pub fn gone<'a>(interfaces: impl Iterator<Item = &'a Interface>) -> anyhow::Error {
    let names: Vec<_> = interfaces.map(Interface::name).collect();
    let (noun, pronoun) = if names.len() == 1 {
        ("interface", "it")
    } else {
        ("interfaces", "them")
    };
    anyhow!(
        "{noun} {} went away while collecting: everything counted until then is stored; bring {pronoun} back and start again",
        names.join(", ")
    )
}
