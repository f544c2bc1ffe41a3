//! A name server on loopback for tests, and the files of a machine that asks it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SOA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::files::Paths;
use super::{Lookups, Resolver};
use crate::http::bulkhead::Bulkhead;

/// What is answered to a question.
#[derive(Clone, Debug)]
pub(super) enum DnsReply {
    /// Those of these addresses that are of the kind asked for, or that there are none; with this TTL.
    Addresses(u32, Vec<&'static str>),
    /// There is no such name, for so many seconds.
    NoName(u32),
    /// An error.
    Failure(ResponseCode),
    /// By UDP that the answer is too long, by TCP the answer.
    Truncated(Vec<&'static str>),
    /// This IPv4 address, and nothing to the question for IPv6 ones.
    SilenceForIpv6(&'static str),
    /// Nothing, ever.
    Silence,
}

/// A question as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DnsQuery {
    pub(super) name: String,
    pub(super) kind: RecordType,
    pub(super) by_tcp: bool,
}

/// The name server.
pub(super) struct TestDns {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<DnsQuery>>>,
}

impl TestDns {
    /// Answers each name (without the dot at its end) as `reply` says.
    pub(super) async fn start(reply: impl Fn(&str) -> DnsReply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), reply).await
    }

    pub(super) async fn start_at(at: SocketAddr, reply: impl Fn(&str) -> DnsReply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = sockets(at).await;
        let address = udp.local_addr().unwrap();
        let (asked, reply): (Arc<Mutex<Vec<DnsQuery>>>, _) = (Arc::default(), Arc::new(reply));
        let (noted, replies) = (Arc::clone(&asked), Arc::clone(&reply));
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = udp.recv_from(&mut buffer).await {
                if let Some(answer) = answered(&buffer[..length], false, &noted, &*replies) {
                    udp.send_to(&answer, from).await.unwrap();
                }
            }
        });
        let noted = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = tcp.accept().await {
                let (noted, reply) = (Arc::clone(&noted), Arc::clone(&reply));
                tokio::spawn(async move {
                    while let Ok(length) = stream.read_u16().await {
                        let mut question = vec![0; length.into()];
                        stream.read_exact(&mut question).await.unwrap();
                        if let Some(answer) = answered(&question, true, &noted, &*reply) {
                            stream.write_u16(answer.len().try_into().unwrap()).await.unwrap();
                            stream.write_all(&answer).await.unwrap();
                        }
                    }
                });
            }
        });
        Self { address, asked }
    }

    pub(super) fn asked(&self) -> Vec<DnsQuery> {
        self.asked.lock().unwrap().clone()
    }

    /// The names asked for, without what was repeated.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for asked in self.asked() {
            if !names.contains(&asked.name) {
                names.push(asked.name);
            }
        }
        names
    }

    /// How often a name was asked for, with one kind of address.
    pub(super) fn times(&self, name: &str) -> usize {
        self.asked().iter().filter(|asked| asked.name == name && asked.kind == RecordType::A).count()
    }
}

/// Both at the same port.
async fn sockets(at: SocketAddr) -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind(at).await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
    panic!("no port is free for both UDP and TCP");
}

fn answered(
    question: &[u8],
    by_tcp: bool,
    noted: &Mutex<Vec<DnsQuery>>,
    reply: &(dyn Fn(&str) -> DnsReply + Send + Sync),
) -> Option<Vec<u8>> {
    let message = Message::from_vec(question).unwrap();
    let query = message.queries[0].clone();
    let name = query.name().to_ascii();
    let name = name.trim_end_matches('.').to_owned();
    let kind = query.query_type();
    noted.lock().unwrap().push(DnsQuery { name: name.clone(), kind, by_tcp });
    let mut answer = Message::response(message.metadata.id, message.metadata.op_code);
    answer.metadata.recursion_desired = true;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    let mut addresses = |ttl: u32, addresses: &[&str]| {
        for address in addresses {
            let address: IpAddr = address.parse().unwrap();
            let data = RData::from(address);
            if data.record_type() == kind {
                answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
            }
        }
    };
    match reply(&name) {
        DnsReply::Addresses(ttl, found) => addresses(ttl, &found),
        DnsReply::Truncated(found) if by_tcp => addresses(60, &found),
        DnsReply::Truncated(_) => answer.metadata.truncation = true,
        DnsReply::NoName(ttl) => {
            answer.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, ttl);
            answer.add_authority(Record::from_rdata(Name::root(), ttl, RData::SOA(soa)));
        }
        DnsReply::Failure(code) => answer.metadata.response_code = code,
        DnsReply::SilenceForIpv6(found) if kind == RecordType::A => addresses(60, &[found]),
        DnsReply::SilenceForIpv6(_) | DnsReply::Silence => return None,
    }
    Some(answer.to_vec().unwrap())
}

/// The files of a machine.
pub(super) struct Machine {
    folder: TempDir,
    port: u16,
}

impl Machine {
    /// One that asks `dns`, and has one more line in its resolv.conf.
    pub(super) fn asking(dns: &TestDns, line: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap(), port: dns.address.port() };
        machine.has_hosts("");
        machine.has_resolv_conf(&format!("nameserver {}\n{line}\n", dns.address.ip()));
        machine
    }

    pub(super) fn has_hosts(&self, text: &str) {
        std::fs::write(self.folder.path().join("hosts"), text).unwrap();
    }

    pub(super) fn has_resolv_conf(&self, text: &str) {
        std::fs::write(self.folder.path().join("resolv.conf"), text).unwrap();
    }

    /// A resolver that looks at the files each time.
    pub(super) fn resolver(&self) -> Resolver {
        let file = |name| self.folder.path().join(name);
        let paths = Paths { hosts: file("hosts"), resolv_conf: file("resolv.conf"), look_every: Duration::ZERO };
        Resolver::by(paths, self.port)
    }

    pub(super) fn lookups(&self) -> Arc<Lookups> {
        self.resolver().lookups(Bulkhead::Documents)
    }
}
