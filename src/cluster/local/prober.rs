//! Runs probes by the kubelet's rules for delays, periods and thresholds. No other probe runs before the startup probe
//! succeeds.

use std::convert::Infallible;
use std::error::Error;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::{self, Container, HTTPHeader};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use reqwest::redirect::{self, Policy};
use reqwest::{Client, Url};
use rustix::io::Errno;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at, sleep, sleep_until};

use super::pod_config::PodConfig;
use super::pod_worker::End;
use super::status::{Liveness, PodStatus, StatusManager};
use crate::error::{causes, chain};

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
    /// An HTTP or HTTPS request.
    Http(Request),
    /// A TCP connection.
    Tcp(Address),
    /// A probe that needs a container runtime. Always succeeds.
    Unsupported,
}

/// The address of a container's port, or why there is none.
type Address = Result<SocketAddr, &'static str>;

#[derive(Clone, Debug)]
struct Request {
    address: Address,
    is_secure: bool,
    path: String,
    /// The additional headers.
    headers: Vec<HTTPHeader>,
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
        let port = port_of(probe, container);
        let address = port.map(|port| SocketAddr::new(address, port));
        let address = address.ok_or("the container has no port with that name");
        match &probe.http_get {
            Some(http) => {
                let path = http.path.as_deref().unwrap_or("/");
                Self::Http(Request {
                    address,
                    is_secure: http.scheme.as_deref() == Some("HTTPS"),
                    path: format!("/{}", path.trim_start_matches('/')),
                    headers: http.http_headers.clone().unwrap_or_default(),
                })
            }
            None if probe.tcp_socket.is_some() => Self::Tcp(address),
            None => Self::Unsupported,
        }
    }

    /// Connects to the container, unless the probe is unsupported.
    async fn connect(&self) -> Result<(), ProbeError> {
        match self {
            Self::Http(Request { address, .. }) | Self::Tcp(address) => {
                connect(*address).await.map(drop)
            }
            Self::Unsupported => Ok(()),
        }
    }

    async fn attempt(&self) -> Result<(), ProbeError> {
        let Self::Http(request) = self else {
            return self.connect().await;
        };
        match request.status().await? {
            200..400 => Ok(()),
            status => Err(ProbeError::Failed(format!(
                "{} returned {status}",
                request.path
            ))),
        }
    }
}

async fn connect(address: Address) -> Result<TcpStream, ProbeError> {
    let address = address?;
    let connected = TcpStream::connect(address).await;
    connected.map_err(|error| ProbeError::new(address, &error))
}

/// Why a probe's attempt didn't succeed.
#[derive(Debug, PartialEq, Eq)]
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

impl ProbeError {
    /// The failure of an attempt at `subject` because of `error`.
    fn new(subject: impl Display, error: &(dyn Error + 'static)) -> Self {
        let reason = format!("{subject}: {}", chain(error));
        if is_exhaustion(error) {
            Self::Exhausted(reason)
        } else {
            Self::Failed(reason)
        }
    }
}

/// Whether the machine has run out of a resource that every connection needs.
fn is_exhaustion(error: &(dyn Error + 'static)) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    let all = std::iter::once(error).chain(causes(error));
    let mut numbers = all.filter_map(|error| Errno::from_io_error(error.downcast_ref()?));
    numbers.any(|number| exhausted.contains(&number))
}

/// The maximum length of a status line.
const STATUS_LIMIT: u64 = 256;
const USER_AGENT: &str = "e2e-matrix";
/// How many redirects the kubelet follows.
const REDIRECTS: usize = 10;

/// The client for HTTPS and for redirects. As in the kubelet, it accepts any certificate, uses each connection only
/// once, and follows a redirect only to the same host.
static CLIENT: LazyLock<reqwest::Result<Client>> = LazyLock::new(|| {
    Client::builder()
        .user_agent(USER_AGENT)
        .no_proxy()
        .pool_max_idle_per_host(0)
        .tls_danger_accept_invalid_certs(true)
        .redirect(Policy::custom(follow_on_same_host))
        .build()
});

fn follow_on_same_host(redirect: redirect::Attempt<'_>) -> redirect::Action {
    let requested = redirect.previous();
    let first = requested.first().and_then(Url::host_str);
    if redirect.url().host_str() != first {
        redirect.stop()
    } else if requested.len() >= REDIRECTS {
        redirect.error(format!("stopped after {REDIRECTS} redirects"))
    } else {
        redirect.follow()
    }
}

impl Request {
    /// Sends the request, and follows redirects. Returns the status code of the last response.
    ///
    /// A cell may have two hundred nodes, each probed twice per second, so the client is used only if a plain request
    /// isn't enough.
    async fn status(&self) -> Result<u16, ProbeError> {
        if !self.is_secure {
            let stream = connect(self.address).await?;
            let status = self.send_plainly(stream).await;
            let status = status.map_err(|error| ProbeError::new(&self.path, &error))?;
            if !(300..400).contains(&status) {
                return Ok(status);
            }
        }
        self.send_with_client().await
    }

    async fn send_with_client(&self) -> Result<u16, ProbeError> {
        let failed = |error: &reqwest::Error| ProbeError::new(&self.path, error);
        let client = CLIENT.as_ref().map_err(failed)?;
        let scheme = if self.is_secure { "https" } else { "http" };
        let request = client.get(format!("{scheme}://{}{}", self.address?, self.path));
        let headers = self.headers.iter();
        let request = headers.fold(request, |request, header| {
            request.header(&header.name, &header.value)
        });
        let response = request.send().await;
        let response = response.map_err(|error| failed(&error.without_url()))?;
        Ok(response.status().as_u16())
    }

    /// Sends the request without TLS. Doesn't read more of the response than its status code.
    async fn send_plainly(&self, mut stream: TcpStream) -> io::Result<u16> {
        let mut names = self.headers.iter().map(|header| &header.name);
        let host = if names.any(|name| name.eq_ignore_ascii_case("host")) {
            // Servers reject a request with two of these headers.
            String::new()
        } else {
            format!("Host: {}\r\n", stream.peer_addr()?)
        };
        let headers = self.headers.iter();
        let headers = headers.map(|header| format!("{}: {}\r\n", header.name, header.value));
        let headers: String = headers.collect();
        let request = format!(
            "GET {} HTTP/1.1\r\n{host}User-Agent: {USER_AGENT}\r\nConnection: close\r\n{headers}\r\n",
            self.path
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

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::HTTPGetAction;
    use tokio::net::TcpListener;

    use super::*;

    async fn attempt(scheme: &str, address: SocketAddr, path: &str) -> Result<(), ProbeError> {
        // The client needs a TLS provider. Another test may have installed it already.
        drop(rustls::crypto::ring::default_provider().install_default());
        let http = HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::Int(address.port().into()),
            scheme: Some(scheme.to_owned()),
            ..HTTPGetAction::default()
        };
        let probe = v1::Probe {
            http_get: Some(http),
            ..v1::Probe::default()
        };
        let action = Action::new(&probe, &Container::default(), address.ip());
        action.attempt().await
    }

    fn failed(reason: &str) -> Result<(), ProbeError> {
        Err(ProbeError::Failed(reason.to_owned()))
    }

    #[tokio::test]
    async fn an_https_probe_depends_on_the_response_and_not_on_the_certificate() {
        let options = mockapi::Options {
            addr: "127.0.0.1:0".to_owned(),
            tls_addr: "127.0.0.1:0".to_owned(),
            ..mockapi::Options::default()
        };
        let mock = mockapi::start(options).await.unwrap();
        let outcome = attempt("HTTPS", mock.tls_addr(), "/nope").await;
        assert_eq!(outcome, failed("/nope returned 404"));
        let plain = attempt("HTTPS", mock.addr(), "/healthz").await;
        assert!(plain.is_err(), "the server does not speak TLS");
    }

    /// Responds to requests, one after another.
    async fn serve(listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            let response = match line.split(' ').nth(1) {
                Some("/here") => "200 OK\r\n",
                Some("/moved") => "302 Found\r\nLocation: /here\r\n",
                Some("/lost") => "302 Found\r\nLocation: /nope\r\n",
                Some("/away") => "302 Found\r\nLocation: http://localhost:1/\r\n",
                Some(_) | None => "404 Not Found\r\n",
            };
            let response = format!("HTTP/1.1 {response}Content-Length: 0\r\n\r\n");
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_probe_follows_redirects_to_the_same_host() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(serve(listener));
        for (path, expected) in [
            ("/here", Ok(())),
            ("/moved", Ok(())),
            ("/lost", failed("/lost returned 404")),
            ("/away", Ok(())),
            ("/nope", failed("/nope returned 404")),
        ] {
            assert_eq!(attempt("HTTP", address, path).await, expected, "{path}");
        }
        serving.abort();
    }
}
