//! Name resolution that loads no libraries at run time and caches nothing.
//!
//! The agent often starts before the cluster's DNS answers: a cached "no such name" would cost more time than a cache
//! saves. Connections are kept open, so lookups are rare, and each lookup reads `/etc/resolv.conf` and `/etc/hosts`
//! again.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name as DomainName, RecordType};
use hickory_resolver::{Hosts, ResolverBuilder, TokioResolver};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::root;

/// The timeout of one query. Within this time, the resolver resends the query every third of a second, each time from a
/// different port: a cluster's network that loses the first packet may then deliver the next one.
const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
/// How many times a query is retried. The number is low, because the resolver queries each search domain separately,
/// and because the call that needs the address is retried as a whole.
const QUERY_RETRIES: usize = 1;

/// The agent's resolver, which caches nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UncachedResolver;

impl Resolve for UncachedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            // Look up the name as written first, without search domains: an entry in `/etc/hosts` needs no DNS server.
            let known = in_hosts(&hosts().unwrap_or_default(), name);
            if !known.is_empty() {
                return Ok(addresses(known));
            }
            // Without a usable `resolv.conf`, the system may have another way to resolve the name.
            let Ok(resolver) = resolver() else {
                return system(name).await;
            };
            Ok(addresses(resolver.lookup_ip(name).await?.iter()))
        })
    }
}

fn addresses(ips: impl IntoIterator<Item = IpAddr>) -> Addrs {
    let addresses: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, 0)).collect();
    Box::new(addresses.into_iter())
}

fn hosts() -> Result<Hosts, std::io::Error> {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(File::open(root::below(Path::new("/etc/hosts")))?)?;
    Ok(hosts)
}

/// The addresses in `/etc/hosts` for a name.
fn in_hosts(hosts: &Hosts, name: &str) -> Vec<IpAddr> {
    let Ok(name) = DomainName::from_utf8(name) else {
        return Vec::new();
    };
    [RecordType::A, RecordType::AAAA]
        .into_iter()
        .filter_map(|kind| hosts.lookup_static_host(&Query::query(name.clone(), kind)))
        .flat_map(|lookup| ips(&lookup))
        .collect()
}

fn ips(lookup: &Lookup) -> Vec<IpAddr> {
    let records = lookup.answers().iter();
    records.filter_map(|record| record.data.ip_addr()).collect()
}

fn resolver() -> Result<TokioResolver, NetError> {
    tuned(TokioResolver::builder_tokio()?)
}

fn tuned(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Result<TokioResolver, NetError> {
    let options = builder.options_mut();
    options.timeout = QUERY_TIMEOUT;
    options.attempts = QUERY_RETRIES;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

async fn system(name: &str) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
    let found = tokio::net::lookup_host((name, 0)).await?;
    Ok(addresses(found.map(|address| address.ip())))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::A;
    use hickory_resolver::proto::rr::{RData, Record};
    use tokio::net::UdpSocket;

    use super::*;

    const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 42);
    const NAME: &str = "mock-api.plexd-e2e.svc.cluster.local.";

    /// How the DNS server of a starting cluster reacts to a query.
    #[derive(Clone, Copy)]
    enum Reaction {
        Silent,
        NoSuchName,
        Answers,
    }

    /// Serves DNS: each A query uses up one of `reactions`, and an AAAA query gets the reaction whose turn it is. The
    /// last reaction applies to all later queries.
    async fn serve(socket: UdpSocket, reactions: &[Reaction]) {
        let mut seen = 0;
        let mut packet = [0; 512];
        loop {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            let query = Message::from_vec(&packet[..length]).unwrap();
            let is_ipv4 = query.queries[0].query_type() == RecordType::A;
            let reaction = reactions[seen.min(reactions.len() - 1)];
            seen += usize::from(is_ipv4);
            if let Some(answer) = answer(&query, reaction, is_ipv4) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    }

    fn answer(query: &Message, reaction: Reaction, is_ipv4: bool) -> Option<Vec<u8>> {
        let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
        answer.add_query(query.queries[0].clone());
        match reaction {
            Reaction::Silent => return None,
            Reaction::NoSuchName => answer.metadata.response_code = ResponseCode::NXDomain,
            Reaction::Answers if is_ipv4 => {
                let name = query.queries[0].name().clone();
                answer.add_answer(Record::from_rdata(name, 30, RData::A(A(ADDRESS))));
            }
            Reaction::Answers => {}
        }
        Some(answer.to_vec().unwrap())
    }

    /// A resolver that uses a DNS server with these reactions.
    async fn resolver_with(reactions: &'static [Reaction]) -> TokioResolver {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut connection = ConnectionConfig::udp();
        connection.port = socket.local_addr().unwrap().port();
        tokio::spawn(serve(socket, reactions));
        let mut server = NameServerConfig::udp(IpAddr::V4(Ipv4Addr::LOCALHOST));
        server.connections = vec![connection];
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let provider = TokioRuntimeProvider::default();
        tuned(TokioResolver::builder_with_config(config, provider)).unwrap()
    }

    #[tokio::test]
    async fn a_name_that_did_not_exist_is_looked_up_again() {
        let resolver = resolver_with(&[Reaction::NoSuchName, Reaction::Answers]).await;
        assert!(resolver.lookup_ip(NAME).await.is_err());
        let lookup = resolver.lookup_ip(NAME).await.unwrap();
        assert_eq!(lookup.iter().collect::<Vec<_>>(), [ADDRESS]);
    }

    #[tokio::test]
    async fn a_query_without_an_answer_is_retried() {
        let resolver = resolver_with(&[Reaction::Silent, Reaction::Answers]).await;
        let lookup = resolver.lookup_ip(NAME).await.unwrap();
        assert_eq!(lookup.iter().collect::<Vec<_>>(), [ADDRESS]);
    }

    #[test]
    fn a_name_in_the_hosts_file_is_found_without_search_domains() {
        let mut hosts = Hosts::default();
        let file = "10.96.0.42 mock-api.plexd-e2e other\n::1 mock-api.plexd-e2e\n";
        hosts.read_hosts_conf(file.as_bytes()).unwrap();
        let expected = ["10.96.0.42", "::1"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert_eq!(in_hosts(&hosts, "mock-api.plexd-e2e"), expected);
        assert_eq!(in_hosts(&hosts, "mock-api.plexd-e2e."), expected);
        assert_eq!(in_hosts(&hosts, "mock-api"), Vec::<IpAddr>::new());
    }

    async fn resolve(name: &str) -> Vec<SocketAddr> {
        let addresses = UncachedResolver.resolve(name.parse().unwrap()).await;
        addresses.unwrap().collect()
    }

    #[tokio::test]
    async fn localhost_is_the_loopback_address() {
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
