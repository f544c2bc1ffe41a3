//! The cookies of one call, so that an application's session lasts as long as the call does.
//!
//! Shape:   a [`Jar`] goes with every request of a call; clones are one jar. [`Jar::snapshot`] is another one, of what the jar
//!          has now for one host: what is queued carries it.
//! Limits:  [`COOKIES_MAX`] cookies of [`COOKIE_BYTES_MAX`] bytes; the oldest goes first.
//! Errors:  none; a cookie that is none, too long or not for whoever sets it is passed over.
//! Secrets: values are [`Secret`]; nothing here prints a name or a value. They are written down under the seal only.
//! Sources: RFC 6265 (section 5); the Public Suffix List, by `psl`.
//!
//! Not the crate `cookie_store`: it keeps values as plain text and lets them expire by the system's clock, and here values are
//! secrets, and time is the server's own, which tests set.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{HeaderMap, HeaderValue, SET_COOKIE};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::clock::WallClock;
use crate::secret::Secret;

/// How many cookies a call has at most (spec/pay.md, section 7).
const COOKIES_MAX: usize = 50;

/// How long a cookie is at most, with its name and attributes, in bytes (spec/pay.md, section 7).
const COOKIE_BYTES_MAX: usize = 4096;

/// A cookie. No `Debug`: it is secret.
#[derive(Clone)]
struct Cookie {
    name: String,
    value: Secret,
    /// In lower case, without a dot before it.
    domain: String,
    /// Whether it is for that very host only.
    host_only: bool,
    path: String,
    secure: bool,
    /// None: at the end of the call.
    expires: Option<Timestamp>,
}

/// A cookie as it is written down, under the seal. No `Debug`: it is secret.
#[derive(Serialize, Deserialize)]
struct StoredCookie<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
    domain: Cow<'a, str>,
    host_only: bool,
    path: Cow<'a, str>,
    secure: bool,
    expires: Option<i64>,
}

impl<'a> StoredCookie<'a> {
    fn of(cookie: &'a Cookie) -> Self {
        Self {
            name: Cow::Borrowed(&cookie.name),
            value: Cow::Borrowed(cookie.value.expose()),
            domain: Cow::Borrowed(&cookie.domain),
            host_only: cookie.host_only,
            path: Cow::Borrowed(&cookie.path),
            secure: cookie.secure,
            expires: cookie.expires.map(Timestamp::as_second),
        }
    }

    fn cookie(self) -> Cookie {
        Cookie {
            name: self.name.into_owned(),
            value: Secret::new(self.value.into_owned()),
            domain: self.domain.into_owned(),
            host_only: self.host_only,
            path: self.path.into_owned(),
            secure: self.secure,
            expires: self.expires.and_then(|second| Timestamp::from_second(second).ok()),
        }
    }
}

/// The cookies of a call. Clones are the same jar.
#[derive(Clone, Default)]
pub struct Jar {
    /// In the order in which they were first set.
    cookies: Arc<Mutex<Vec<Cookie>>>,
    wall_clock: WallClock,
}

impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jar({} cookies)", self.lock().len())
    }
}

impl Jar {
    /// An empty one; cookies expire by `wall_clock`.
    #[must_use]
    pub fn new(wall_clock: WallClock) -> Self {
        Self { cookies: Arc::default(), wall_clock }
    }

    /// A jar of its own with the cookies that this one has now for the host of `url`, whatever their paths: redirects may lead
    /// to any of them.
    #[must_use]
    pub fn snapshot(&self, url: &str) -> Self {
        let host = Url::parse(url).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        let is_meant = |cookie: &&Cookie| host.as_ref().is_some_and(|host| cookie.is_for(host));
        let cookies = self.lock().iter().filter(is_meant).cloned().collect();
        Self { cookies: Arc::new(Mutex::new(cookies)), wall_clock: self.wall_clock }
    }

    /// What `Cookie` says in a request to `url`.
    pub(super) fn header(&self, url: &Url) -> Option<HeaderValue> {
        let host = url.host()?.to_owned();
        let now = self.wall_clock.now();
        let cookies = self.lock();
        let mut sent: Vec<&Cookie> = cookies
            .iter()
            .filter(|cookie| cookie.is_for(&host) && cookie.is_for_path(url.path()))
            .filter(|cookie| !cookie.secure || url.scheme() == "https")
            .filter(|cookie| cookie.expires.is_none_or(|expires| expires > now))
            .collect();
        if sent.is_empty() {
            return None;
        }
        // Longer paths first, then as they were set: sorting keeps the order of equals.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut line = zeroize::Zeroizing::new(Vec::new());
        for cookie in sent {
            let before: &[u8] = if line.is_empty() { b"" } else { b"; " };
            for part in [before, cookie.name.as_bytes(), b"=", cookie.value.expose().as_bytes()] {
                line.extend_from_slice(part);
            }
        }
        let mut value = HeaderValue::from_bytes(&line).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Takes in what an answer from `url` sets.
    pub(super) fn receive(&self, url: &Url, headers: &HeaderMap) {
        let now = self.wall_clock.now();
        for header in headers.get_all(SET_COOKIE) {
            let set = std::str::from_utf8(header.as_bytes()).ok().filter(|set| set.len() <= COOKIE_BYTES_MAX);
            if let Some(cookie) = set.and_then(|set| Cookie::read(set, url, now)) {
                self.set(cookie, now);
            }
        }
    }

    fn set(&self, cookie: Cookie, now: Timestamp) {
        let mut cookies = self.lock();
        let is_gone = |cookie: &Cookie| cookie.expires.is_some_and(|expires| expires <= now);
        match cookies.iter().position(|known| known.is_same(&cookie)) {
            // It keeps its place.
            Some(place) => {
                if let Some(known) = cookies.get_mut(place) {
                    *known = cookie;
                }
            }
            None => cookies.push(cookie),
        }
        cookies.retain(|cookie| !is_gone(cookie));
        if cookies.len() > COOKIES_MAX {
            cookies.remove(0);
        }
    }

    /// What is in it as text, to be sealed; none: nothing.
    #[must_use]
    pub fn to_text(&self) -> Option<Secret> {
        let cookies = self.lock();
        let records: Vec<StoredCookie<'_>> = cookies.iter().map(StoredCookie::of).collect();
        if records.is_empty() {
            return None;
        }
        serde_json::to_string(&records).ok().map(Secret::new)
    }

    /// A jar of a text that [`Self::to_text`] made; of anything else an empty one.
    #[must_use]
    pub fn of_text(text: &Secret) -> Self {
        let records: Vec<StoredCookie<'_>> = serde_json::from_str(text.expose()).unwrap_or_default();
        let cookies = records.into_iter().map(StoredCookie::cookie).collect();
        Self { cookies: Arc::new(Mutex::new(cookies)), wall_clock: WallClock::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Cookie>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cookie {
    /// Reads a `Set-Cookie` of an answer from `url` (sections 5.2 and 5.3).
    fn read(set: &str, url: &Url, now: Timestamp) -> Option<Self> {
        let mut parts = set.split(';');
        let (name, value) = parts.next()?.split_once('=')?;
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || set.chars().any(|letter| letter.is_control() && letter != '\t') {
            return None;
        }
        let (mut domain, mut path, mut secure, mut max_age, mut expires) = (None, None, false, None, None);
        // Of an attribute that stands twice the last one counts (section 5.3).
        for part in parts {
            let (attribute, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.trim();
            match attribute.trim().to_ascii_lowercase().as_str() {
                "domain" => domain = Some(value.strip_prefix('.').unwrap_or(value).to_ascii_lowercase()),
                "path" => path = Some(value).filter(|path| path.starts_with('/')).map(str::to_owned),
                "secure" => secure = true,
                "max-age" => max_age = lifetime(value).or(max_age),
                "expires" => expires = date(value).or(expires),
                // HttpOnly and SameSite mean something to browsers only.
                _ => {}
            }
        }
        let host = url.host()?.to_owned();
        let own = host.to_string();
        // An empty one is as none (section 5.2.3).
        let domain = domain.filter(|domain| !domain.is_empty() && *domain != own);
        // Nobody sets cookies for all shops under one roof.
        if domain.as_ref().is_some_and(|domain| is_public_suffix(domain) || !is_within(&host, domain)) {
            return None;
        }
        // Max-Age goes before Expires (section 5.3).
        let expires = match max_age {
            Some(seconds) => Some(now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)),
            None => expires,
        };
        Some(Self {
            name: name.to_owned(),
            value: Secret::new(value.to_owned()),
            // Named itself, a host has its subdomains take part; a public suffix and an address have none.
            host_only: domain.is_none() && !names_itself(set, &own),
            domain: domain.unwrap_or(own),
            path: path.unwrap_or_else(|| default_path(url)),
            secure,
            expires,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&other.name, &other.domain, &other.path)
    }

    fn is_for(&self, host: &Host) -> bool {
        let is_host = host.to_string() == self.domain;
        is_host || (!self.host_only && is_within(host, &self.domain))
    }

    /// Section 5.1.4.
    fn is_for_path(&self, path: &str) -> bool {
        path.strip_prefix(&self.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/'))
    }
}

/// Whether a `Set-Cookie` names the very host that sends it as its domain, where that has subdomains.
fn names_itself(set: &str, own: &str) -> bool {
    let named = set.split(';').skip(1).filter_map(|part| part.split_once('=')).any(|(attribute, value)| {
        let value = value.trim();
        attribute.trim().eq_ignore_ascii_case("domain")
            && value.strip_prefix('.').unwrap_or(value).eq_ignore_ascii_case(own)
    });
    named && !is_public_suffix(own) && own.parse::<IpAddr>().is_err() && !own.starts_with('[')
}

/// Whether a host is a subdomain of `domain` (section 5.1.3); an address is nobody's.
fn is_within(host: &Host, domain: &str) -> bool {
    match host {
        Host::Domain(host) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.')),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    }
}

fn is_public_suffix(domain: &str) -> bool {
    psl::suffix_str(domain) == Some(domain)
}

/// Section 5.1.4.
fn default_path(url: &Url) -> String {
    match url.path().rsplit_once('/') {
        Some(("", _)) | None => "/".to_owned(),
        Some((folder, _)) => folder.to_owned(),
    }
}

/// `Max-Age` in seconds; nothing and less is gone at once (section 5.2.2).
fn lifetime(value: &str) -> Option<i64> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_negative = digits.len() < value.len();
    // A century is as good as for ever.
    Some(if is_negative { 0 } else { digits.parse().unwrap_or(i64::MAX).min(3_155_760_000) })
}

/// `Expires`, in whatever order and form (section 5.1.1).
fn date(value: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let is_delimiter = |letter: char| !(letter.is_ascii_alphanumeric() || letter == ':' || !letter.is_ascii());
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in value.split(is_delimiter).filter(|token| !token.is_empty()) {
        let lead = token.bytes().take_while(u8::is_ascii_digit).count();
        let number = || token.get(..lead).and_then(|digits| digits.parse::<i16>().ok());
        if time.is_none() && token.contains(':') {
            time = clock_time(token);
        } else if day.is_none() && (1..=2).contains(&lead) {
            day = number();
        } else if month.is_none() && lead == 0 {
            let name = token.get(..3).map(str::to_ascii_lowercase);
            month = MONTHS.iter().position(|month| Some(*month) == name.as_deref());
        } else if year.is_none() && (2..=4).contains(&lead) {
            year = number();
        }
    }
    let year = match year? {
        short @ 70..=99 => short.checked_add(1900)?,
        short @ 0..=69 => short.checked_add(2000)?,
        year => year,
    };
    let month = i8::try_from(month?.checked_add(1)?).ok()?;
    let (hour, minute, second) = time?;
    let date = jiff::civil::DateTime::new(year, month, i8::try_from(day?).ok()?, hour, minute, second, 0).ok()?;
    date.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn clock_time(token: &str) -> Option<(i8, i8, i8)> {
    let mut parts = token.splitn(3, ':');
    let mut part = || -> Option<i8> {
        let part = parts.next()?;
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        part.get(..digits)?.parse().ok()
    };
    Some((part()?, part()?, part()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn jar(from: &str, set: &[&str]) -> Jar {
        let jar = Jar::new(WallClock::simulated("2026-11-22T10:00:00Z".parse().unwrap()));
        receive(&jar, from, set);
        jar
    }

    fn receive(jar: &Jar, from: &str, set: &[&str]) {
        let mut headers = HeaderMap::new();
        for set in set {
            headers.append(SET_COOKIE, HeaderValue::from_bytes(set.as_bytes()).unwrap());
        }
        jar.receive(&url(from), &headers);
    }

    fn sent(jar: &Jar, to: &str) -> String {
        jar.header(&url(to)).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_cookie_goes_back_to_its_host_and_to_no_other() {
        let jar = jar("https://shop.example.com/ivr/start", &["sid=abc; HttpOnly; SameSite=Lax", "lang = de ; Path=/"]);
        assert_eq!(sent(&jar, "https://shop.example.com/ivr/paid?x=1"), "sid=abc; lang=de");
        assert_eq!(sent(&jar, "http://shop.example.com:8080/ivr"), "sid=abc; lang=de", "neither port nor scheme count");
        assert_eq!(sent(&jar, "https://shop.example.com/ivrs"), "lang=de");
        for other in ["https://example.com/ivr/", "https://a.shop.example.com/ivr/", "https://xshop.example.com/ivr/"] {
            assert_eq!(sent(&jar, other), "", "{other}");
        }
        assert_eq!(format!("{jar:?}"), "Jar(2 cookies)");
        assert!(jar.header(&url("https://shop.example.com/")).unwrap().is_sensitive());
    }

    #[tokio::test]
    async fn a_domain_takes_its_subdomains_along_and_a_public_suffix_is_nobody_s() {
        let from = "https://ivr.shop.example.co.uk/";
        let wide = jar(from, &["a=1; Domain=.Shop.example.co.uk", "b=2; domain=ivr.shop.example.co.uk"]);
        assert_eq!(sent(&wide, "https://shop.example.co.uk/"), "a=1");
        assert_eq!(sent(&wide, "https://x.ivr.shop.example.co.uk/"), "a=1; b=2");
        for domain in ["co.uk", "uk", "other.co.uk", "x.ivr.shop.example.co.uk", "op.example.co.uk"] {
            assert_eq!(sent(&jar(from, &[&format!("a=1; Domain={domain}")]), from), "", "{domain}");
        }
        for from in ["https://localhost/", "https://127.0.0.1/", "https://[::1]/", "https://github.io/"] {
            let host = url(from).host_str().unwrap().to_owned();
            let narrow = jar(from, &[&format!("a=1; Domain={host}"), "b=2"]);
            assert_eq!(sent(&narrow, from), "a=1; b=2", "{from}");
            assert_eq!(sent(&jar(from, &["a=1; Domain=0.0.1"]), from), "", "{from}");
        }
        assert_eq!(sent(&jar("https://github.io/", &["a=1; Domain=github.io"]), "https://me.github.io/"), "");
    }

    #[tokio::test]
    async fn paths_are_whole_folders_and_longer_ones_come_first() {
        let jar = jar("https://a.example/x/y/z", &["a=1; Path=/", "b=2", "c=3; Path=/x/", "d=4; Path=x"]);
        assert_eq!(sent(&jar, "https://a.example/x/y"), "b=2; d=4; c=3; a=1");
        assert_eq!(sent(&jar, "https://a.example/x/yy"), "c=3; a=1");
        assert_eq!(sent(&jar, "https://a.example/x"), "a=1");
    }

    #[tokio::test]
    async fn what_is_secure_goes_over_https_only() {
        let jar = jar("https://a.example/", &["a=1; Secure", "b=2"]);
        assert_eq!(
            (sent(&jar, "https://a.example/"), sent(&jar, "http://a.example/")),
            ("a=1; b=2".into(), "b=2".into())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_cookie_is_set_anew_expires_and_is_taken_back() {
        let from = "https://a.example/";
        let jar =
            jar(from, &["a=1; Max-Age=60", "b=2; Expires=Sun, 22 Nov 2026 10:02:00 GMT", "c=3", "a=4; Max-Age=60"]);
        assert_eq!(sent(&jar, from), "a=4; b=2; c=3");
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        assert_eq!(sent(&jar, from), "b=2; c=3");
        receive(&jar, from, &["c=; Expires=Thu, 01-Jan-1970 00:00:00 GMT", "b=2; Max-Age=-1", "d=5; Max-Age=soon"]);
        assert_eq!(sent(&jar, from), "d=5");
        receive(&jar, from, &["d=6; Max-Age=0; Expires=Sun, 22 Nov 2099 10:02:00 GMT"]);
        assert_eq!(sent(&jar, from), "");
    }

    #[test]
    fn dates_are_read_as_browsers_read_them() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(date(text), "1994-11-06T08:49:37Z".parse().ok(), "{text}");
        }
        for text in ["", "soon", "Sun, 06 Nov 1994", "31 Feb 2026 10:00:00", "06 Nov 1994 25:00:00"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn what_is_no_cookie_or_too_much_is_passed_over() {
        let from = "https://a.example/";
        let long = format!("a={}", "x".repeat(COOKIE_BYTES_MAX));
        assert_eq!(sent(&jar(from, &["a", "=1", "", ";", &long, "b=2"]), from), "b=2");
        let many: Vec<String> = (0..COOKIES_MAX + 7).map(|number| format!("c{number}=x")).collect();
        let jar = jar(from, &many.iter().map(String::as_str).collect::<Vec<_>>());
        let sent = sent(&jar, from);
        assert_eq!((sent.split("; ").count(), sent.split("; ").next()), (COOKIES_MAX, Some("c7=x")));
    }

    #[tokio::test]
    async fn a_snapshot_is_what_the_jar_has_for_a_host_now() {
        let jar = jar("https://a.example/x/y", &["a=1"]);
        receive(&jar, "https://b.example/", &["b=2"]);
        let snapshot = jar.snapshot("https://a.example/status");
        receive(&jar, "https://a.example/x/y", &["a=3"]);
        assert_eq!(format!("{snapshot:?}"), "Jar(1 cookies)");
        assert_eq!(
            (sent(&snapshot, "https://a.example/x/"), sent(&jar, "https://a.example/x/")),
            ("a=1".into(), "a=3".into())
        );
    }

    #[tokio::test]
    async fn what_is_written_down_is_the_same_jar_again() {
        let from = "https://shop.example.com/x/";
        let set = [
            "a=1; Domain=example.com; Path=/; Secure; Max-Age=3155760000",
            "b=2; Expires=Sun, 22 Nov 2099 10:02:00 GMT",
            "c=3",
        ];
        let jar = jar(from, &set);
        let text = jar.to_text().unwrap();
        let again = Jar::of_text(&text);
        assert_eq!(again.to_text().unwrap().expose(), text.expose());
        assert_eq!(sent(&again, from), "b=2; c=3; a=1");
        assert!(Jar::default().to_text().is_none());
        assert_eq!(format!("{:?}", Jar::of_text(&Secret::new("?".into()))), "Jar(0 cookies)");
    }
}
