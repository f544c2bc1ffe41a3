//! `/etc/hosts` and `/etc/resolv.conf`, read again when they change.
//!
//! Shape:   [`ResolverFiles::current`] gives what they said last. [`Hosts`] and [`ResolvConf`] are pure readers of their texts.
//! Limits:  looked at once a second at most ([`LOOK_EVERY`]: two `stat` calls); [`FILE_MAX`] bytes of each are read, on a
//!          thread for blocking work that is waited for [`READ_WAIT`] at most.
//! Errors:  none: a line that cannot be read is passed over, a file that cannot be read counts as before.
//! Sources: hosts(5), resolv.conf(5), resolver(3). Of the options only `ndots`, `use-vc` and `no-aaaa` count: times and
//!          tries are ours. The host's own domain is not searched unless the file names it.
#![allow(
    clippy::disallowed_methods,
    reason = "it reads files, on threads that may be held up; what does not is said there"
)]

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::blocking;

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a lookup waits for changed files to be read; the next one will find them.
const READ_WAIT: Duration = Duration::from_secs(1);

/// How much of a file is read, in bytes: lists of blocked hosts have some megabytes.
const FILE_MAX: u64 = 16 * 1024 * 1024;

/// How many name servers count (`MAXNS` of resolver(3)).
const SERVERS_MAX: usize = 3;

/// The largest `ndots` (`RES_MAXNDOTS` of resolver(3)).
const NDOTS_MAX: usize = 15;

/// Where the files are, and how often they are looked at.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    pub(super) hosts: PathBuf,
    pub(super) resolv_conf: PathBuf,
    pub(super) look_every: Duration,
}

impl Default for Paths {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), resolv_conf: "/etc/resolv.conf".into(), look_every: LOOK_EVERY }
    }
}

/// What the files said when they were read last.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// Another number for other contents.
    pub(super) generation: u64,
    pub(super) hosts: Arc<Hosts>,
    pub(super) resolv_conf: Arc<ResolvConf>,
}

/// The two files.
#[derive(Debug)]
pub(super) struct ResolverFiles {
    paths: Paths,
    state: Mutex<FilesState>,
}

#[derive(Debug)]
struct FilesState {
    looked_at: Instant,
    stamps: [Option<Stamp>; 2],
    read: Arc<Read>,
}

/// What tells a file from what it was: device, inode, size, and when content and attributes changed.
type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    let changed = (file.ctime(), file.ctime_nsec());
    Some((file.dev(), file.ino(), file.size(), (file.mtime(), file.mtime_nsec()), changed))
}

impl Paths {
    fn stamps(&self) -> [Option<Stamp>; 2] {
        [stamp(&self.hosts), stamp(&self.resolv_conf)]
    }
}

impl ResolverFiles {
    /// Reads both.
    pub(super) fn open(paths: Paths) -> Self {
        let stamps = paths.stamps();
        let read = Arc::new(read(&paths, &Read::default()));
        Self { paths, state: Mutex::new(FilesState { looked_at: Instant::now(), stamps, read }) }
    }

    /// What they say, as of a second ago.
    pub(super) async fn current(self: &Arc<Self>) -> Arc<Read> {
        if let Some(stamps) = self.changed() {
            let files = Arc::clone(self);
            let reading = blocking::run(move || files.read_again(stamps));
            // A reading that takes longer goes on; until it is done the one before it counts.
            let _in_time = timeout(READ_WAIT, reading).await;
        }
        Arc::clone(&self.state().read)
    }

    /// Looks at the files, if it is time: their stamps, if they are others. Two calls of stat(2) for local files take less
    /// time than handing them to another thread.
    fn changed(&self) -> Option<[Option<Stamp>; 2]> {
        let mut state = self.state();
        let now = Instant::now();
        if now.duration_since(state.looked_at) < self.paths.look_every {
            return None;
        }
        state.looked_at = now;
        let stamps = self.paths.stamps();
        (stamps != state.stamps).then_some(stamps)
    }

    /// The stamps are of before the reading: what is written meanwhile is read the next time.
    fn read_again(&self, stamps: [Option<Stamp>; 2]) {
        blocking::assert_allowed();
        let before = Arc::clone(&self.state().read);
        let read = Arc::new(read(&self.paths, &before));
        tracing::info!("hosts file or resolv.conf changed; looking names up anew");
        let mut state = self.state();
        (state.stamps, state.read) = (stamps, read);
    }

    fn state(&self) -> MutexGuard<'_, FilesState> {
        // Nothing in there is left half done by a panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(paths: &Paths, before: &Read) -> Read {
    let hosts = match text(&paths.hosts) {
        Ok(text) => Arc::new(Hosts::parse(&text)),
        Err(error) => {
            unreadable(&paths.hosts, &error);
            Arc::clone(&before.hosts)
        }
    };
    let resolv_conf = match text(&paths.resolv_conf) {
        Ok(text) => Arc::new(ResolvConf::parse(&text)),
        Err(error) => {
            unreadable(&paths.resolv_conf, &error);
            Arc::clone(&before.resolv_conf)
        }
    };
    Read { generation: before.generation + 1, hosts, resolv_conf }
}

fn unreadable(path: &Path, error: &std::io::Error) {
    tracing::warn!(
        file = %path.display(),
        %error,
        "could not read hosts file or resolv.conf; looking names up as before"
    );
}

/// A file's text; one that is not there has none.
fn text(path: &Path) -> std::io::Result<String> {
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// hosts(5): the addresses of names, in the file's order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Hosts(BTreeMap<String, Vec<IpAddr>>);

impl Hosts {
    fn parse(text: &str) -> Self {
        let mut hosts: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            let Some(address) = words.next().and_then(|word| word.parse().ok()) else { continue };
            for name in words {
                let addresses = hosts.entry(plain(name)).or_default();
                if !addresses.contains(&address) {
                    addresses.push(address);
                }
            }
        }
        Self(hosts)
    }

    /// The addresses of `name`.
    pub(super) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(&plain(name)).map(Vec::as_slice)
    }
}

/// A name as it is compared: in small letters, without the dot at the end.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// resolv.conf(5).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResolvConf {
    /// The name servers, at least one.
    pub(super) servers: Vec<IpAddr>,
    search: Vec<String>,
    ndots: usize,
    /// Whether everything is asked by TCP.
    pub(super) use_vc: bool,
    /// Whether nothing is asked for IPv6 addresses.
    pub(super) no_aaaa: bool,
}

impl Default for ResolvConf {
    /// As without the file: the name server on this machine.
    fn default() -> Self {
        let servers = vec![Ipv4Addr::LOCALHOST.into()];
        Self { servers, search: Vec::new(), ndots: 1, use_vc: false, no_aaaa: false }
    }
}

/// A name that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    /// The whole name.
    pub(super) name: String,
    /// Whether a domain of the search list stands behind what was meant.
    pub(super) searched: bool,
}

impl ResolvConf {
    fn parse(text: &str) -> Self {
        let mut conf = Self { servers: Vec::new(), ..Self::default() };
        for line in text.lines().filter(|line| !line.starts_with([';', '#'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => conf.servers.extend(words.next().and_then(|word| word.parse::<IpAddr>().ok())),
                // The last of both counts.
                Some("search") => conf.search = words.map(plain).filter(|domain| !domain.is_empty()).collect(),
                Some("domain") => conf.search = words.take(1).map(plain).filter(|domain| !domain.is_empty()).collect(),
                Some("options") => words.for_each(|option| conf.set(option)),
                _ => {}
            }
        }
        conf.servers.truncate(SERVERS_MAX);
        if conf.servers.is_empty() {
            conf.servers = Self::default().servers;
        }
        conf
    }

    fn set(&mut self, option: &str) {
        match option.split_once(':') {
            Some(("ndots", number)) => {
                self.ndots = number.parse().map_or(self.ndots, |number: usize| number.min(NDOTS_MAX))
            }
            None if option == "use-vc" => self.use_vc = true,
            None if option == "no-aaaa" => self.no_aaaa = true,
            _ => {}
        }
    }

    /// What is asked for `name`, in this order, until something is found. A name with a dot at its end is meant as it is;
    /// one with `ndots` dots or more is tried as it is first, another one last.
    pub(super) fn candidates(&self, name: &str) -> Vec<Candidate> {
        let whole = Candidate { name: plain(name), searched: false };
        if name.ends_with('.') {
            return vec![whole];
        }
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        let searched =
            self.search.iter().map(|domain| Candidate { name: format!("{}.{domain}", whole.name), searched: true });
        let mut candidates: Vec<Candidate> = searched.collect();
        let place = if dots >= self.ndots { 0 } else { candidates.len() };
        candidates.insert(place, whole);
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(conf: &ResolvConf, name: &str) -> Vec<String> {
        conf.candidates(name).into_iter().map(|candidate| candidate.name).collect()
    }

    #[test]
    fn a_hosts_file_gives_all_addresses_of_a_name_and_skips_what_it_cannot_read() {
        let hosts = Hosts::parse(
            "# the machine\n127.0.0.1\tlocalhost Pay.Example # us\n::1 localhost\nfe80::1%eth0 link\nnonsense name\n10.0.0.1\n127.0.0.1 localhost\n",
        );
        let addresses =
            |name: &str| hosts.addresses(name).map(|found| found.iter().map(IpAddr::to_string).collect::<Vec<_>>());
        assert_eq!(addresses("localhost"), Some(vec!["127.0.0.1".to_owned(), "::1".to_owned()]));
        assert_eq!(addresses("pay.example"), Some(vec!["127.0.0.1".to_owned()]));
        assert_eq!(addresses("PAY.example."), Some(vec!["127.0.0.1".to_owned()]));
        for nothing in ["link", "name", "us", "10.0.0.1", ""] {
            assert_eq!(addresses(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn resolv_conf_is_read_as_the_system_reads_it() {
        let conf = ResolvConf::parse(
            "# nameserver 9.9.9.9\n; nameserver 9.9.9.9\nnameserver 10.0.0.1\nnameserver ::1\nnameserver nonsense\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n\
             domain old.example\nsearch A.example. b.example\noptions ndots:2 timeout:1 use-vc no-aaaa\nsortlist 10.0.0.0\n",
        );
        let servers: Vec<String> = conf.servers.iter().map(IpAddr::to_string).collect();
        assert_eq!(servers, ["10.0.0.1", "::1", "10.0.0.3"]);
        assert_eq!((conf.ndots, conf.use_vc, conf.no_aaaa), (2, true, true));
        assert_eq!(conf.search, ["a.example", "b.example"]);
        assert_eq!(ResolvConf::parse("options ndots:99 ndots:x").ndots, 15);
        for without in ["", "search a.example", "nameserver fe80::1%eth0"] {
            assert_eq!(ResolvConf::parse(without).servers, ResolvConf::default().servers, "{without}");
        }
    }

    #[test]
    fn the_search_list_comes_before_names_of_few_dots_and_behind_the_others() {
        let conf = ResolvConf::parse("search a.example b.example\noptions ndots:2");
        assert_eq!(names(&conf, "pay"), ["pay.a.example", "pay.b.example", "pay"]);
        assert_eq!(names(&conf, "pay.shop"), ["pay.shop.a.example", "pay.shop.b.example", "pay.shop"]);
        assert_eq!(names(&conf, "www.pay.shop"), ["www.pay.shop", "www.pay.shop.a.example", "www.pay.shop.b.example"]);
        assert_eq!(names(&conf, "pay."), ["pay"]);
        assert_eq!(names(&ResolvConf::default(), "pay"), ["pay"]);
        let searched: Vec<bool> = conf.candidates("pay").iter().map(|candidate| candidate.searched).collect();
        assert_eq!(searched, [true, true, false]);
    }

    #[tokio::test]
    async fn a_file_that_changes_or_is_replaced_is_read_again_and_one_that_does_not_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            hosts: folder.path().join("hosts"),
            resolv_conf: folder.path().join("resolv.conf"),
            look_every: Duration::ZERO,
        };
        let files = Arc::new(ResolverFiles::open(paths.clone()));
        let first = files.current().await;
        assert_eq!(first.hosts.addresses("pay"), None);
        assert_eq!(first.resolv_conf.servers, ResolvConf::default().servers);
        std::fs::write(&paths.hosts, "10.0.0.1 pay\n").unwrap();
        let second = files.current().await;
        assert_eq!(second.hosts.addresses("pay").unwrap(), ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_ne!(second.generation, first.generation);
        assert_eq!(files.current().await.generation, second.generation);
        // As tools do: another file in its place.
        std::fs::write(folder.path().join("new"), "10.0.0.2 pay\n").unwrap();
        std::fs::rename(folder.path().join("new"), &paths.hosts).unwrap();
        let third = files.current().await;
        assert_eq!(third.hosts.addresses("pay").unwrap(), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
        std::fs::write(&paths.resolv_conf, "nameserver 10.0.0.53\n").unwrap();
        assert_eq!(files.current().await.resolv_conf.servers, ["10.0.0.53".parse::<IpAddr>().unwrap()]);
        // It cannot be read: the last one counts.
        std::fs::remove_file(&paths.resolv_conf).unwrap();
        std::fs::create_dir(&paths.resolv_conf).unwrap();
        assert_eq!(files.current().await.resolv_conf.servers, ["10.0.0.53".parse::<IpAddr>().unwrap()]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_files_are_looked_at_once_a_second_at_most() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            hosts: folder.path().join("hosts"),
            resolv_conf: folder.path().join("resolv.conf"),
            look_every: LOOK_EVERY,
        };
        let files = Arc::new(ResolverFiles::open(paths.clone()));
        std::fs::write(&paths.hosts, "10.0.0.1 pay\n").unwrap();
        assert_eq!(files.current().await.hosts.addresses("pay"), None);
        tokio::time::advance(LOOK_EVERY).await;
        assert!(files.current().await.hosts.addresses("pay").is_some());
    }
}
