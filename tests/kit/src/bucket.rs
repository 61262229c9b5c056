//! An object store on this machine (moto's S3 server), behind a network that fails on purpose.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::program::{LIMIT, Running};
use crate::python;

/// The bucket.
pub const BUCKET: &str = "telescope";
/// A store in it.
pub const STORE: &str = "s3://telescope/stores/one";
/// What no log may hold.
pub const SECRETS: [&str; 2] = ["AKIDOPENSESAME", "s3cr3t-of-the-test"];

/// How long a request is kept waiting by [`Network::Flaky`], and a server's answer at most.
const HANG: Duration = Duration::from_millis(700);
const ANSWER: Duration = Duration::from_secs(20);

/// How requests fare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// All arrive.
    Works,
    /// Every request takes this long.
    Slow(Duration),
    /// Some are refused with status 500, some hang and break off, and of some only the answer is
    /// lost.
    Flaky,
    /// All are refused with status 500.
    Away,
    /// All arrive until there were so many writes, then they are refused.
    AwayAfter(u64),
}

/// The server and what lies before it.
#[derive(Debug)]
pub struct Bucket {
    server: SocketAddr,
    _running: Running,
    shared: Arc<Shared>,
    address: SocketAddr,
    python: PathBuf,
}

#[derive(Debug)]
struct Shared {
    network: Mutex<Network>,
    requests: AtomicU64,
    writes: AtomicU64,
    refused: AtomicU64,
    ended: AtomicBool,
}

impl Bucket {
    /// Starts both, with an empty bucket; without moto it says that `test` is skipped.
    ///
    /// # Panics
    /// The server does not start.
    pub fn new(test: &str) -> Option<Self> {
        let python = PathBuf::from(python::with(test, "moto.server")?);
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let server = free.local_addr().expect("its address");
        drop(free);
        let mut command = Command::new(&python);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p"]);
        command.arg(server.port().to_string());
        let mut running = Running::start(without_proxies(&mut command));
        crate::wait_until("the object store answers", LIMIT, || {
            assert!(running.is_running(), "it has ended: {}", running.stderr());
            let request = format!(
                "PUT /{BUCKET} HTTP/1.1\r\nHost: {server}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            matches!(ask(server, request.as_bytes()), Ok(answer) if answer.starts_with(b"HTTP/1.1 200"))
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            network: Mutex::new(Network::Works),
            requests: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let network = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if network.ended.load(Ordering::Relaxed) {
                    return;
                }
                let network = Arc::clone(&network);
                // A client that was killed has broken off.
                thread::spawn(move || network.relay(client, server));
            }
        });
        Some(Self {
            server,
            _running: running,
            shared,
            address,
            python,
        })
    }

    /// Changes how requests fare from now on; writes are counted anew.
    pub fn network(&self, network: Network) {
        self.shared.writes.store(0, Ordering::Relaxed);
        let mut now = self.shared.network.lock();
        *now.as_deref_mut().expect("no thread panicked") = network;
    }

    /// Writes that have arrived since the network last changed.
    pub fn writes(&self) -> u64 {
        self.shared.writes.load(Ordering::Relaxed)
    }

    /// Requests that were refused, or whose answer was lost.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Gives a program the address and the credentials of the object store.
    pub fn tell<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        without_proxies(command)
            .env("AWS_ENDPOINT", format!("http://{}", self.address))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", SECRETS[0])
            .env("AWS_SECRET_ACCESS_KEY", SECRETS[1])
    }

    /// Copies every object below [`STORE`] into a folder.
    ///
    /// # Panics
    /// It cannot be read.
    pub fn copy_to(&self, folder: &Path) {
        let script = python::script("store/copy_bucket.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(format!("http://{}", self.server));
        command.args([BUCKET, "stores/one/"]).arg(folder);
        Running::start(without_proxies(&mut command))
            .wait(LIMIT)
            .success();
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        // The last client: the thread that accepts them looks, and ends.
        let _ = TcpStream::connect(self.address);
    }
}

fn without_proxies(command: &mut Command) -> &mut Command {
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        command.env_remove(name);
    }
    command.env("NO_PROXY", "127.0.0.1")
}

impl Shared {
    /// Handles one request: reads it whole, answers or fails it, and ends the connection.
    fn relay(&self, mut client: TcpStream, server: SocketAddr) -> io::Result<()> {
        client.set_read_timeout(Some(ANSWER))?;
        let request = read_request(&mut client)?;
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let is_write = request.starts_with(b"PUT ");
        let network = *self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let refuse = |client: &mut TcpStream| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            client.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        };
        let mut lose = false;
        match network {
            Network::Works => {}
            Network::Slow(time) => thread::sleep(time),
            Network::Away => return refuse(&mut client),
            Network::AwayAfter(writes) => {
                if self.writes.load(Ordering::Relaxed) >= writes {
                    return refuse(&mut client);
                }
            }
            Network::Flaky => match number % 12 {
                3 | 4 => return refuse(&mut client),
                7 => {
                    thread::sleep(HANG);
                    self.refused.fetch_add(1, Ordering::Relaxed);
                    return Ok(());
                }
                10 => lose = true,
                _ => {}
            },
        }
        let answer = ask(server, &request)?;
        if is_write {
            self.writes.fetch_add(1, Ordering::Relaxed);
        }
        if lose {
            return refuse(&mut client);
        }
        client.write_all(&answer)
    }
}

/// A request with its body; it asks that the connection be closed after the answer.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut octets = Vec::new();
    let mut part = [0; 1 << 16];
    let head = loop {
        if let Some(at) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        match client.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => octets.extend_from_slice(&part[..count]),
        }
    };
    let text = String::from_utf8_lossy(&octets[..head]).into_owned();
    let length = (text.lines())
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())
        .map_err(io::Error::other)?;
    let mut body = octets.split_off(head + 4);
    while body.len() < length {
        match client.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => body.extend_from_slice(&part[..count]),
        }
    }
    let kept = text
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
    let mut request = kept.collect::<Vec<_>>().join("\r\n").into_bytes();
    request.extend(b"\r\nConnection: close\r\n\r\n");
    request.extend(body);
    Ok(request)
}

/// Sends a request and reads the answer until the connection ends.
fn ask(server: SocketAddr, request: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&server, ANSWER)?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
