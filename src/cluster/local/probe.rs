//! Probes, called by the kubelet's rules: delays, periods, thresholds, and nothing before start-up is over.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{self, Container};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustix::io::Errno;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use crate::error::chain;

/// The shortest and the longest delay between two checks whether a process that has started listens.
const PAUSES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(250)];

/// A container's probes.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    startup: Option<Probe>,
    liveness: Option<Probe>,
    readiness: Option<Probe>,
}

#[derive(Clone, Debug)]
struct Probe {
    name: &'static str,
    action: Action,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    success_threshold: u32,
    failure_threshold: u32,
}

#[derive(Clone, Debug)]
enum Action {
    /// A request in plain HTTP: everything except the `Host` header.
    Http {
        address: Option<SocketAddr>,
        path: String,
        headers: String,
    },
    /// A connection; also for HTTPS, because the kubelet doesn't verify certificates either.
    Tcp { address: Option<SocketAddr> },
    /// A probe that needs a container runtime; always succeeds.
    Unavailable,
}

/// The number of a container's port, which may be given by name.
pub(super) fn number(port: &IntOrString, container: &Container) -> Option<i32> {
    match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|there| there.name.as_ref() == Some(name));
            named.map(|there| there.container_port)
        }
    }
}

/// The port that a container's probes use.
pub(super) fn port(container: &Container) -> Option<u16> {
    let probes = [
        &container.readiness_probe,
        &container.startup_probe,
        &container.liveness_probe,
    ];
    probes.into_iter().flatten().find_map(|probe| {
        let http = probe.http_get.as_ref().map(|http| &http.port);
        let port = http.or_else(|| probe.tcp_socket.as_ref().map(|tcp| &tcp.port))?;
        u16::try_from(number(port, container)?).ok()
    })
}

impl Probes {
    /// Whether there is a liveness probe.
    pub(super) fn has_liveness(&self) -> bool {
        self.liveness.is_some()
    }

    /// The probes of `container`, which listens on `address`.
    pub(super) fn of(container: &Container, address: IpAddr) -> Self {
        let probe = |name, probe: &Option<v1::Probe>| {
            let probe = probe.as_ref()?;
            Some(Probe::new(name, probe, container, address))
        };
        Self {
            startup: probe("startup", &container.startup_probe),
            liveness: probe("liveness", &container.liveness_probe),
            readiness: probe("readiness", &container.readiness_probe),
        }
    }
}

impl Probe {
    fn new(name: &'static str, probe: &v1::Probe, container: &Container, address: IpAddr) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            let value = value.and_then(|value| u64::try_from(value).ok());
            Duration::from_secs(value.unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            let value = value.and_then(|value| u32::try_from(value).ok());
            value.unwrap_or(default).max(1)
        };
        Self {
            name,
            action: Action::new(probe, container, address),
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            timeout: seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1)),
            success_threshold: count(probe.success_threshold, 1),
            failure_threshold: count(probe.failure_threshold, 3),
        }
    }
}

impl Action {
    fn new(probe: &v1::Probe, container: &Container, address: IpAddr) -> Self {
        let address = |port: &IntOrString| {
            let port = u16::try_from(number(port, container)?).ok()?;
            Some(SocketAddr::new(address, port))
        };
        if let Some(http) = &probe.http_get {
            let address = address(&http.port);
            if http.scheme.as_deref() == Some("HTTPS") {
                return Self::Tcp { address };
            }
            let headers = http.http_headers.iter().flatten();
            let headers = headers.map(|header| format!("{}: {}\r\n", header.name, header.value));
            let path = http.path.as_deref().unwrap_or("/");
            return Self::Http {
                address,
                path: format!("/{}", path.trim_start_matches('/')),
                headers: headers.collect(),
            };
        }
        match &probe.tcp_socket {
            Some(tcp) => Self::Tcp {
                address: address(&tcp.port),
            },
            None => Self::Unavailable,
        }
    }

    async fn connect(&self) -> Result<Option<TcpStream>, Miss> {
        let address = match self {
            Self::Http { address, .. } | Self::Tcp { address } => address,
            Self::Unavailable => return Ok(None),
        };
        let address = address.ok_or("the container has no port of that name")?;
        match TcpStream::connect(address).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => {
                let reason = format!("{address}: {}", chain(&error));
                Err(if is_exhaustion(&error) {
                    Miss::NotMade(reason)
                } else {
                    Miss::Failed(reason)
                })
            }
        }
    }

    async fn attempt(&self) -> Result<(), Miss> {
        let stream = self.connect().await?;
        let (Self::Http { path, headers, .. }, Some(stream)) = (self, stream) else {
            return Ok(());
        };
        let status = get(stream, path, headers).await;
        match status.map_err(|error| format!("{path}: {}", chain(&error)))? {
            200..400 => Ok(()),
            status => Err(Miss::Failed(format!("{path} answered {status}"))),
        }
    }
}

/// An attempt of a probe failed.
enum Miss {
    /// The container didn't respond properly.
    Failed(String),
    /// The machine has run out of something that every attempt needs, which says nothing about the container.
    NotMade(String),
}

impl<T: Into<String>> From<T> for Miss {
    fn from(reason: T) -> Self {
        Self::Failed(reason.into())
    }
}

/// Whether the machine has run out of something that every connection needs.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| exhausted.contains(&error))
}

/// The maximum length of a status line.
const LONGEST_STATUS: u64 = 256;

/// Requests `path` and returns the status; the rest of the response isn't read. Two hundred nodes are probed twice per
/// second, so this does only what the protocol requires.
async fn get(mut stream: TcpStream, path: &str, headers: &str) -> io::Result<u16> {
    let host = stream.peer_addr()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: e2e-matrix\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_STATUS))
        .read_line(&mut line)
        .await?;
    let status = line
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok());
    status.ok_or_else(|| io::Error::other("the answer is no HTTP"))
}

/// A result of probing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// The container is ready.
    Ready,
    /// The container is no longer ready.
    NotReady(String),
    /// The liveness probe succeeded.
    Alive,
    /// The liveness probe failed, but not often enough to kill the container.
    Sick(String),
    /// One attempt failed, which doesn't change anything yet.
    Missed(String),
}

/// Why probing ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The container has to be killed.
    Kill(String),
    /// Its probes can't be made.
    Blind(String),
}

/// A container and its probes.
pub(super) struct Watch<'a> {
    pub(super) probes: &'a Probes,
    /// Notified when the container listens or has had enough time to.
    pub(super) listens: &'a Notify,
    /// When the container was started, from which initial delays count.
    pub(super) started: Instant,
}

impl Watch<'_> {
    /// Runs the probes and reports their results, until the container has to be killed or can't be probed.
    pub(super) async fn run(&self, say: &(impl Fn(Finding) + Sync)) -> Stop {
        let Err(stop) = self.probe(say).await;
        stop
    }

    async fn probe(&self, say: &(impl Fn(Finding) + Sync)) -> Result<Infallible, Stop> {
        self.until_listening().await;
        if let Some(startup) = &self.probes.startup {
            self.until_success(startup, say).await?;
        }
        let liveness = async {
            match &self.probes.liveness {
                Some(liveness) => self.until_failure(liveness, say).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            stopped = liveness => stopped,
            stopped = self.readiness(say) => stopped,
        }
    }

    async fn until_success(
        &self,
        probe: &Probe,
        say: &(impl Fn(Finding) + Sync),
    ) -> Result<(), Stop> {
        self.repeat(probe, |outcome, met| match (outcome, met) {
            (Ok(()), true) => Some(Ok(())),
            (Err(reason), true) => Some(Err(Stop::Kill(reason))),
            (Ok(()), false) => None,
            (Err(reason), false) => {
                say(Finding::Missed(reason));
                None
            }
        })
        .await
    }

    async fn until_failure(
        &self,
        probe: &Probe,
        say: &(impl Fn(Finding) + Sync),
    ) -> Result<Infallible, Stop> {
        self.repeat(probe, |outcome, met| match outcome {
            Err(reason) if met => Some(Err(Stop::Kill(reason))),
            Err(reason) => {
                say(Finding::Sick(reason));
                None
            }
            Ok(()) => {
                say(Finding::Alive);
                None
            }
        })
        .await
    }

    async fn readiness(&self, say: &(impl Fn(Finding) + Sync)) -> Result<Infallible, Stop> {
        let Some(probe) = &self.probes.readiness else {
            say(Finding::Ready);
            return std::future::pending().await;
        };
        let mut ready = false;
        self.repeat(probe, |outcome, met| {
            match outcome {
                Ok(()) if met && !ready => {
                    ready = true;
                    say(Finding::Ready);
                }
                Err(reason) if met && ready => {
                    ready = false;
                    say(Finding::NotReady(reason));
                }
                Ok(()) => {}
                Err(reason) => say(Finding::Missed(reason)),
            }
            None
        })
        .await
    }

    /// Attempts `probe` every period until `decide` returns a value. It gets each result, and whether there were enough
    /// equal ones in a row.
    async fn repeat<T>(
        &self,
        probe: &Probe,
        mut decide: impl FnMut(Result<(), String>, bool) -> Option<Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let (mut successes, mut failures) = (0, 0);
        let mut ticks = self.ticks(probe);
        loop {
            ticks.tick().await;
            let outcome = self.attempt(probe).await?;
            (successes, failures) = if outcome.is_ok() {
                (successes + 1, 0)
            } else {
                (0, failures + 1)
            };
            let met = successes >= probe.success_threshold || failures >= probe.failure_threshold;
            if let Some(end) = decide(outcome, met) {
                return end;
            }
        }
    }

    /// Waits until the container listens, for one period at most: a process needs a moment, which isn't a failed probe.
    async fn until_listening(&self) {
        let Probes {
            startup,
            liveness,
            readiness,
        } = self.probes;
        if let Some(probe) = startup
            .as_ref()
            .or(readiness.as_ref())
            .or(liveness.as_ref())
        {
            let earliest = self.started + probe.initial_delay;
            sleep_until(earliest).await;
            while let Err(Miss::Failed(_)) = probe.action.connect().await
                && Instant::now() < earliest + probe.period
            {
                // If hundreds of processes start at once, checking must not slow them down.
                sleep((earliest.elapsed() / 8).clamp(PAUSES[0], PAUSES[1])).await;
            }
        }
        self.listens.notify_one();
    }

    /// Ticks every period, starting now or after the initial delay.
    fn ticks(&self, probe: &Probe) -> Interval {
        let first = Instant::now().max(self.started + probe.initial_delay);
        let mut interval = interval_at(first, probe.period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    }

    /// Attempts `probe` once. Returns whether it succeeded, or why not.
    async fn attempt(&self, probe: &Probe) -> Result<Result<(), String>, Stop> {
        let outcome = tokio::time::timeout(probe.timeout, probe.action.attempt()).await;
        let late = || Miss::Failed(format!("no answer in {:?}", probe.timeout));
        let outcome = outcome.unwrap_or_else(|_| Err(late()));
        let named = |reason| format!("{} probe: {reason}", probe.name);
        match outcome {
            Ok(()) => Ok(Ok(())),
            Err(Miss::Failed(reason)) => Ok(Err(named(reason))),
            Err(Miss::NotMade(reason)) => Err(Stop::Blind(named(reason))),
        }
    }
}
