//! Runs probes by the kubelet's rules for delays, periods and thresholds. No other probe runs before the startup probe
//! succeeds.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use k8s_openapi::api::core::v1::{self, Container};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use rustix::io::Errno;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::pod_config::PodConfig;
use super::pod_worker::End;
use super::status::{Liveness, PodStatus, StatusManager};
use crate::error::chain;

/// The shortest delay between two checks of whether a new process listens.
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// A container's probes.
#[derive(Clone, Debug, Default)]
pub(super) struct Probes {
    startup: Option<Probe>,
    liveness: Option<Probe>,
    readiness: Option<Probe>,
}

#[derive(Clone, Debug)]
struct Probe {
    kind: Kind,
    action: Action,
    initial_delay: Duration,
    period: Duration,
    timeout: Duration,
    success_threshold: u32,
    failure_threshold: u32,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Startup,
    Liveness,
    Readiness,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
        }
    }
}

#[derive(Clone, Debug)]
enum Action {
    /// A plain HTTP request. `headers` contains the additional headers as they are sent.
    Http {
        address: Option<SocketAddr>,
        path: String,
        headers: String,
    },
    /// A TCP connection. Also used for HTTPS probes, which only check whether the container accepts a connection.
    Tcp { address: Option<SocketAddr> },
    /// A probe that needs a container runtime. Always succeeds.
    Unsupported,
}

/// The number of the container's port that `port` specifies by number or by name.
pub(super) fn number(port: &IntOrString, container: &Container) -> Option<i32> {
    match port {
        IntOrString::Int(number) => Some(*number),
        IntOrString::String(name) => {
            let mut ports = container.ports.iter().flatten();
            let named = ports.find(|port| port.name.as_ref() == Some(name));
            named.map(|port| port.container_port)
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
    let mut probes = probes.into_iter().flatten();
    probes.find_map(|probe| port_of(probe, container))
}

fn port_of(probe: &v1::Probe, container: &Container) -> Option<u16> {
    let http = probe.http_get.as_ref().map(|http| &http.port);
    let port = http.or_else(|| probe.tcp_socket.as_ref().map(|tcp| &tcp.port))?;
    u16::try_from(number(port, container)?).ok()
}

impl Probes {
    /// The result of the liveness probe before its first attempt.
    pub(super) fn initial_liveness(&self) -> Liveness {
        match self.liveness {
            Some(_) => Liveness::Unknown,
            None => Liveness::Success,
        }
    }

    /// The probes of `container`, which listens on `address`.
    pub(super) fn of(container: &Container, address: IpAddr) -> Self {
        let probe = |kind, probe: &Option<v1::Probe>| {
            let probe = probe.as_ref()?;
            Some(Probe::new(kind, probe, container, address))
        };
        Self {
            startup: probe(Kind::Startup, &container.startup_probe),
            liveness: probe(Kind::Liveness, &container.liveness_probe),
            readiness: probe(Kind::Readiness, &container.readiness_probe),
        }
    }
}

impl Probe {
    fn new(kind: Kind, probe: &v1::Probe, container: &Container, address: IpAddr) -> Self {
        let seconds = |value: Option<i32>, default: u64| {
            let value = value.and_then(|value| u64::try_from(value).ok());
            Duration::from_secs(value.unwrap_or(default))
        };
        let count = |value: Option<i32>, default: u32| {
            let value = value.and_then(|value| u32::try_from(value).ok());
            value.unwrap_or(default).max(1)
        };
        Self {
            kind,
            action: Action::new(probe, container, address),
            initial_delay: seconds(probe.initial_delay_seconds, 0),
            period: seconds(probe.period_seconds, 10).max(Duration::from_secs(1)),
            timeout: seconds(probe.timeout_seconds, 1).max(Duration::from_secs(1)),
            success_threshold: count(probe.success_threshold, 1),
            failure_threshold: count(probe.failure_threshold, 3),
        }
    }

    /// Attempts the probe once.
    async fn attempt(&self) -> Result<(), ProbeError> {
        let attempt = tokio::time::timeout(self.timeout, self.action.attempt()).await;
        attempt.unwrap_or_else(|_| Err(format!("no response within {:?}", self.timeout).into()))
    }
}

impl Action {
    fn new(probe: &v1::Probe, container: &Container, address: IpAddr) -> Self {
        let address = port_of(probe, container).map(|port| SocketAddr::new(address, port));
        match &probe.http_get {
            Some(http) if http.scheme.as_deref() != Some("HTTPS") => {
                let headers = http.http_headers.iter().flatten();
                let headers =
                    headers.map(|header| format!("{}: {}\r\n", header.name, header.value));
                let path = http.path.as_deref().unwrap_or("/");
                Self::Http {
                    address,
                    path: format!("/{}", path.trim_start_matches('/')),
                    headers: headers.collect(),
                }
            }
            None if probe.tcp_socket.is_none() => Self::Unsupported,
            Some(_) | None => Self::Tcp { address },
        }
    }

    async fn connect(&self) -> Result<Option<TcpStream>, ProbeError> {
        let address = match self {
            Self::Http { address, .. } | Self::Tcp { address } => address,
            Self::Unsupported => return Ok(None),
        };
        let address = address.ok_or("the container has no port with that name")?;
        let connected = TcpStream::connect(address).await;
        connected.map(Some).map_err(|error| {
            let reason = format!("{address}: {}", chain(&error));
            if is_exhaustion(&error) {
                ProbeError::Exhausted(reason)
            } else {
                ProbeError::Failed(reason)
            }
        })
    }

    async fn attempt(&self) -> Result<(), ProbeError> {
        let stream = self.connect().await?;
        let (Self::Http { path, headers, .. }, Some(stream)) = (self, stream) else {
            return Ok(());
        };
        let status = get(stream, path, headers).await;
        match status.map_err(|error| format!("{path}: {}", chain(&error)))? {
            200..400 => Ok(()),
            status => Err(ProbeError::Failed(format!("{path} returned {status}"))),
        }
    }
}

/// Why a probe's attempt didn't succeed.
enum ProbeError {
    /// The container didn't respond as it should.
    Failed(String),
    /// The machine has run out of a resource that every attempt needs. This says nothing about the container.
    Exhausted(String),
}

impl<T: Into<String>> From<T> for ProbeError {
    fn from(reason: T) -> Self {
        Self::Failed(reason.into())
    }
}

/// Whether the machine has run out of a resource that every connection needs.
fn is_exhaustion(error: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|error| exhausted.contains(&error))
}

/// The maximum length of a status line.
const STATUS_LIMIT: u64 = 256;

/// Requests `path` and returns the status code. Doesn't read the rest of the response. A cell may have two hundred
/// nodes, each probed twice per second, so this function does only what the protocol requires.
async fn get(mut stream: TcpStream, path: &str, headers: &str) -> io::Result<u16> {
    let mut names = headers.lines().filter_map(|line| line.split(':').next());
    let host = if names.any(|name| name.eq_ignore_ascii_case("host")) {
        // Servers reject a request with two of these headers.
        String::new()
    } else {
        format!("Host: {}\r\n", stream.peer_addr()?)
    };
    let request = format!(
        "GET {path} HTTP/1.1\r\n{host}User-Agent: e2e-matrix\r\nConnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(STATUS_LIMIT))
        .read_line(&mut line)
        .await?;
    let status = line
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok());
    status.ok_or_else(|| io::Error::other("the response is not HTTP"))
}

/// Probes the current process of a pod.
pub(super) struct Prober<'a> {
    statuses: &'a StatusManager,
    pod: &'a PodConfig,
    /// When the process was started. Initial delays begin here.
    started: Instant,
}

impl<'a> Prober<'a> {
    /// A prober for a process that has just been started. Records the results in `statuses`.
    pub(super) fn new(statuses: &'a StatusManager, pod: &'a PodConfig) -> Self {
        Self {
            statuses,
            pod,
            started: Instant::now(),
        }
    }

    /// Waits until the container listens, for at most one period. A process needs a moment to start, and that must not
    /// count as a failed probe.
    pub(super) async fn until_listening(&self) {
        let probes = &self.pod.probes;
        let first = probes.startup.as_ref().or(probes.readiness.as_ref());
        let Some(probe) = first.or(probes.liveness.as_ref()) else {
            return;
        };
        let earliest = self.started + probe.initial_delay;
        sleep_until(earliest).await;
        while let Err(ProbeError::Failed(_)) = probe.action.connect().await
            && Instant::now() < earliest + probe.period
        {
            // When hundreds of processes start at once, these checks must not slow them down.
            sleep((earliest.elapsed() / 8).clamp(SHORTEST_PAUSE, LONGEST_PAUSE)).await;
        }
    }

    /// Runs the probes and records their results, until the container has to be killed or can't be probed.
    pub(super) async fn run(&self) -> Result<Infallible, End> {
        let probes = &self.pod.probes;
        self.repeat(probes.startup.as_ref()).await?;
        if probes.readiness.is_none() {
            self.update(PodStatus::become_ready);
        }
        tokio::try_join!(
            self.repeat(probes.liveness.as_ref()),
            self.repeat(probes.readiness.as_ref())
        )?;
        std::future::pending().await
    }

    /// Attempts `probe` every period. Returns when a startup probe has succeeded, or if there is no probe.
    async fn repeat(&self, probe: Option<&Probe>) -> Result<(), End> {
        let Some(probe) = probe else {
            return Ok(());
        };
        let (mut successes, mut failures) = (0, 0);
        let mut is_ready = false;
        let mut ticks = self.ticks(probe);
        let with_name = |reason| format!("{} probe: {reason}", probe.kind.name());
        loop {
            ticks.tick().await;
            let outcome = match probe.attempt().await {
                Ok(()) => Ok(()),
                Err(ProbeError::Failed(reason)) => Err(with_name(reason)),
                Err(ProbeError::Exhausted(reason)) => {
                    return Err(End::Unrunnable(with_name(reason)));
                }
            };
            (successes, failures) = if outcome.is_ok() {
                (successes + 1, 0)
            } else {
                (0, failures + 1)
            };
            let is_met =
                successes >= probe.success_threshold || failures >= probe.failure_threshold;
            match (probe.kind, outcome) {
                (Kind::Startup, Ok(())) if is_met => return Ok(()),
                (Kind::Startup | Kind::Liveness, Err(reason)) if is_met => {
                    return Err(End::Killed(reason));
                }
                (Kind::Liveness, Ok(())) => {
                    self.update(|status| status.liveness = Liveness::Success);
                }
                (Kind::Liveness, Err(reason)) => self.update(|status| {
                    status.warn_once("Unhealthy", reason.clone());
                    let count = failures;
                    status.liveness = Liveness::Failure { count, reason };
                }),
                (Kind::Readiness, Ok(())) if is_met && !is_ready => {
                    is_ready = true;
                    self.update(PodStatus::become_ready);
                }
                (Kind::Readiness, Err(reason)) if is_met && is_ready => {
                    is_ready = false;
                    self.update(|status| {
                        status.ready = false;
                        status.warn("Unhealthy", reason);
                    });
                }
                (Kind::Startup | Kind::Readiness, Err(reason)) => {
                    self.update(|status| status.warn_once("Unhealthy", reason));
                }
                (Kind::Startup | Kind::Readiness, Ok(())) => {}
            }
        }
    }

    fn update(&self, change: impl FnOnce(&mut PodStatus)) {
        self.statuses.update(&self.pod.name, change);
    }

    /// Ticks once per period, starting when the initial delay has passed.
    fn ticks(&self, probe: &Probe) -> Interval {
        let first = Instant::now().max(self.started + probe.initial_delay);
        let mut interval = interval_at(first, probe.period);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    }
}
