//! Name resolution that works without loading libraries at run time and remembers nothing.
//!
//! The agent often starts before the cluster's name service answers: a remembered "no such name" would cost more time
//! than it saves. Connections are kept open, so names are looked up rarely, and each look-up reads `/etc/resolv.conf`
//! and `/etc/hosts` anew.

use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How long one query may stay without an answer before it is sent again.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a query is sent again.
const QUERY_REPEATS: usize = 2;

/// The agent's resolver.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forgetful;

impl Resolve for Forgetful {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // Without a usable resolv.conf the system may still know a way of its own.
            let Ok(resolver) = resolver() else {
                return system(name.as_str()).await;
            };
            let lookup = resolver.lookup_ip(name.as_str()).await?;
            let addresses: Vec<_> = lookup.iter().map(|ip| SocketAddr::new(ip, 0)).collect();
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn resolver() -> Result<TokioResolver, NetError> {
    tuned(TokioResolver::builder_tokio()?)
}

fn tuned(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_REPEATS;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Always;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

async fn system(name: &str) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    let addresses: Vec<_> = tokio::net::lookup_host((name, 0)).await?.collect();
    Ok(Box::new(addresses.into_iter()))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn resolve(name: &str) -> Vec<SocketAddr> {
        Forgetful
            .resolve(name.parse().unwrap())
            .await
            .unwrap()
            .collect()
    }

    #[tokio::test]
    async fn localhost_is_this_machine() {
        let addresses = resolve("localhost").await;
        assert!(
            !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback())
        );
    }

    #[tokio::test]
    async fn the_system_knows_localhost_too() {
        let addresses: Vec<_> = system("localhost").await.unwrap().collect();
        assert!(
            !addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback())
        );
    }
}
