//! A forwarded port: a listener that stays open until the forward is closed, and one upstream stream per connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::error::chain;
use crate::event::Evidence;
use crate::machine::ports;

/// The pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// A byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens streams to the target of a forward, wherever the target currently runs.
#[async_trait]
pub trait Connect: Send + Sync + 'static {
    /// Opens a stream.
    async fn connect(&self) -> io::Result<Box<dyn Stream>>;
}

/// A running forward. It is closed when it is dropped.
pub struct Forward {
    address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Forward {
    /// Accepts connections at `listener`, and forwards each of them to a stream that `connect` opens.
    pub fn start(listener: std::net::TcpListener, connect: Arc<dyn Connect>) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let accepting = accept(listener, connect, tasks.clone(), stop.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self {
            address,
            tasks,
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        })
    }

    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and all connections, and checks that the listener is gone.
    pub async fn close(&self) -> Evidence {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        let port = self.address.port();
        let (seen, holds) = match ports::listens_here(port) {
            Ok(false) => ("closed".to_owned(), true),
            Ok(true) => ("open".to_owned(), false),
            Err(error) => (error.to_string(), false),
        };
        Evidence::new(format!("port {port}"), "closed", seen, holds)
    }
}

async fn accept(
    listener: TcpListener,
    connect: Arc<dyn Connect>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        match listener.accept().await {
            Ok((downstream, _)) => {
                let proxying = proxy(downstream, Arc::clone(&connect));
                tasks.spawn(stop.clone().run_until_cancelled_owned(proxying));
            }
            // Without the pause, this loop would spin when the process has reached its limit of open files.
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "failed to accept a forwarded connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Proxies one connection. If the target can't be reached within two seconds, closes the connection: the client is
/// expected to retry.
async fn proxy(mut downstream: TcpStream, connect: Arc<dyn Connect>) {
    let attempts = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_millis(500))
        .without_max_times()
        .with_total_delay(Some(Duration::from_secs(2)));
    let proxying = async {
        let mut upstream = (|| connect.connect()).retry(attempts).await?;
        copy_bidirectional(&mut downstream, &mut upstream).await
    };
    if let Err(error) = proxying.await {
        tracing::debug!(error = chain(&error), "a forwarded connection ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// An upstream that echoes what it receives. Only the first attempt to connect fails.
    struct Echo(std::sync::atomic::AtomicUsize);

    #[async_trait]
    impl Connect for Echo {
        async fn connect(&self) -> io::Result<Box<dyn Stream>> {
            if self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (near, far) = tokio::io::duplex(64);
            tokio::spawn(async move {
                let (mut read, mut write) = tokio::io::split(far);
                tokio::io::copy(&mut read, &mut write).await
            });
            Ok(Box::new(near))
        }
    }

    #[tokio::test]
    async fn connections_are_forwarded_and_the_port_is_free_after_closing() {
        let listener = crate::machine::ports::bind(&crate::matrix::PortRange::Any).unwrap();
        let forward = Forward::start(listener, Arc::new(Echo(0.into()))).unwrap();
        let mut client = TcpStream::connect(forward.address()).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let mut response = [0; 5];
        client.read_exact(&mut response).await.unwrap();
        assert_eq!(&response, b"hello");
        assert!(forward.close().await.holds);
        assert_eq!(client.read(&mut response).await.unwrap_or(0), 0);
        TcpListener::bind(forward.address()).await.unwrap();
    }
}
