use std::path::Path;

use super::*;

fn read(toml: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), toml).unwrap();
    Config::from(Some(file.path()), environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}

#[test]
fn nothing_needs_to_be_set() {
    let config = read("", &[]).unwrap();
    assert_eq!(config.listen, LISTEN);
    assert_eq!(config.media.idle_timeout, Duration::from_secs(60));
    assert_eq!((config.media.max_messages_per_second, config.media.require_signature), (500, None));
    assert!(!config.allow_http_callbacks && config.connectors.is_empty() && config.media.secret.is_none());
    assert_eq!(config.max_connections, 10_000);
}

#[test]
fn names_are_looked_up_in_the_dns_or_by_the_system() {
    assert_eq!(read("", &[]).unwrap().resolver, ResolverKind::Dns);
    assert_eq!(read("resolver = \"system\"", &[]).unwrap().resolver, ResolverKind::System);
    assert_eq!(read("", &[("TOUCHTONE_RESOLVER", "dns")]).unwrap().resolver, ResolverKind::Dns);
}

#[test]
fn the_environment_wins_and_keeps_its_zeros() {
    let config = read(
        "auth_token = \"file\"\n[media]\nmax_calls = 3\n",
        &[
            ("TOUCHTONE_AUTH_TOKEN", "0012"),
            ("TOUCHTONE_MEDIA__MAX_CALLS", "7"),
            ("TOUCHTONE_ALLOW_HTTP_CALLBACKS", "true"),
            ("OTHER", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.auth_token.unwrap().expose(), "0012");
    assert_eq!(config.media.max_calls, 7);
    assert!(config.allow_http_callbacks);
}

#[test]
fn the_secret_of_streams_is_read_as_it_is_and_shown_to_nobody() {
    let from_file = read("[media]\nsecret = \"0123456789abcdef\"", &[]).unwrap();
    assert_eq!(from_file.media.secret.as_ref().unwrap().expose(), "0123456789abcdef");
    let variables = [("TOUCHTONE_MEDIA__SECRET", "0123456789012345"), ("TOUCHTONE_MAX_CONNECTIONS", "7")];
    let from_environment = read("", &variables).unwrap();
    assert_eq!(from_environment.media.secret.as_ref().unwrap().expose(), "0123456789012345");
    assert_eq!(from_environment.max_connections, 7);
    assert!(!format!("{from_file:?} {from_environment:?}").contains("01234567"));
}

#[test]
fn certificate_and_key_come_together_from_the_file_or_the_environment() {
    assert!(read("", &[]).unwrap().tls.is_none());
    let variables = [("TOUCHTONE_TLS__CERT", "a.pem"), ("TOUCHTONE_TLS__KEY", "b.pem")];
    for (toml, variables) in [("[tls]\ncert = \"a.pem\"\nkey = \"b.pem\"", &variables[..0]), ("", &variables)] {
        let tls = read(toml, variables).unwrap().tls.unwrap();
        assert_eq!((tls.cert.as_path(), tls.key.as_path()), (Path::new("a.pem"), Path::new("b.pem")));
    }
    let error = read("[tls]\ncertt = \"a\"", &[]).unwrap_err().to_string();
    assert!(error.contains("unknown key tls.certt; the nearest known one is cert"), "{error}");
}

#[test]
fn an_unknown_key_names_the_nearest_known_one() {
    let error = read("lissten = \"1.2.3.4:1\"\n", &[]).unwrap_err().to_string();
    assert!(error.contains("unknown key lissten; the nearest known one is listen"), "{error}");
    let error = read("[media]\nmax_call = 1\n", &[]).unwrap_err().to_string();
    assert!(error.contains("unknown key media.max_call; the nearest known one is max_calls"), "{error}");
    assert!(
        matches!(read("[media]\nin_band_dtmf = \"auto\"", &[]), Err(ConfigError::NotYet(key)) if key == "media.in_band_dtmf")
    );
}

#[test]
fn a_variable_of_the_environment_that_names_no_key_is_told_and_has_no_effect() {
    let variables = [
        ("TOUCHTONE_FLOW", "x"),
        ("TOUCHTONE_MEDIA__MAX_CALL", "7"),
        ("TOUCHTONE_NOTHING__AT__ALL", "x"),
        ("TOUCHTONE_MAX_CONNECTIONS", "7"),
    ];
    let config = read("", &variables).unwrap();
    let mut unknown: Vec<_> = config.unknown_variables.iter().map(|it| (it.name.as_str(), it.hint.as_str())).collect();
    unknown.sort_unstable();
    assert_eq!(unknown[..2], [("TOUCHTONE_FLOW", "flows"), ("TOUCHTONE_MEDIA__MAX_CALL", "max_calls")]);
    assert_eq!((unknown.len(), unknown[2].0, config.max_connections), (3, "TOUCHTONE_NOTHING__AT__ALL", 7));
    // The same key in the file is still an error.
    assert!(matches!(read("flow = \"x\"", &variables), Err(ConfigError::UnknownKey { key, .. }) if key == "flow"));
    // And so is a value that cannot be.
    assert!(read("", &[("TOUCHTONE_MAX_CONNECTIONS", "many"), ("TOUCHTONE_FLOW", "x")]).is_err());
}

#[test]
fn what_kubernetes_sets_for_a_service_called_touchtone_is_not_looked_at() {
    let variables = [
        ("TOUCHTONE_SERVICE_HOST", "10.0.0.1"),
        ("TOUCHTONE_SERVICE_PORT", "8080"),
        ("TOUCHTONE_SERVICE_PORT_HTTP", "8080"),
        ("TOUCHTONE_SERVICE_PORT_HTTPS_ALT", "8443"),
        ("TOUCHTONE_PORT", "tcp://10.0.0.1:8080"),
        ("TOUCHTONE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("TOUCHTONE_PORT_8080_TCP_PROTO", "tcp"),
        ("TOUCHTONE_PORT_8080_TCP_PORT", "8080"),
        ("TOUCHTONE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("TOUCHTONE_PORT_53_UDP_ADDR", "10.0.0.1"),
        ("TOUCHTONE_MEDIA_SERVICE_HOST", "10.0.0.2"),
        ("TOUCHTONE_MEDIA_PORT_8080_TCP_ADDR", "10.0.0.2"),
    ];
    let config = read("", &variables).unwrap();
    assert_eq!(config.unknown_variables, []);
    assert_eq!(config.listen, LISTEN);
}

#[test]
fn the_database_and_its_key_are_never_shown() {
    let url = "postgres://me:hunter2@db.example/pay";
    let file = format!("database = \"{url}\"\nsecret_key = \"hunter2-hunter2-\"\n");
    let config = read(&file, &[]).unwrap();
    assert!(matches!(&config.database, Some(DatabaseAddress::Postgres(kept)) if kept.expose() == url));
    assert_eq!(config.secret_key.as_ref().unwrap().0.expose(), "hunter2-hunter2-");
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    for (toml, words) in [
        ("database = \"mysql://me:hunter2@db/pay\"", "database: expected sqlite://FILE or postgres://"),
        ("database = 7", "database: expected sqlite://FILE"),
        ("secret_key = \"hunter2\"", "secret_key: expected at least 16 characters"),
        ("secret_key = 123456789012345678", "secret_key: expected a string"),
    ] {
        let error = read(toml, &[]).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("hunter2") && !error.contains("1234"), "{toml}: {error}");
    }
    let config = read("", &[("TOUCHTONE_DATABASE", "sqlite://a.db")]).unwrap();
    assert!(matches!(config.database, Some(DatabaseAddress::Sqlite(path)) if path == Path::new("a.db")));
}

#[test]
fn document_urls_come_as_a_list_or_with_blanks_between_them() {
    let urls = |config: &Config| format!("{:?}", config.flow_urls);
    let file = "flow_urls = [\"https://a.example/ivr/\", \"https://b.example\"]";
    let both = "[FlowUrl(https://a.example/ivr/), FlowUrl(https://b.example/)]";
    assert_eq!(urls(&read(file, &[]).unwrap()), both);
    let variable = [("TOUCHTONE_FLOW_URLS", "https://a.example/ivr/ https://b.example")];
    assert_eq!(urls(&read("flow_urls = []", &variable).unwrap()), both);
    assert!(read("", &[]).unwrap().flow_urls.is_empty());
}

#[test]
fn proxies_and_the_age_of_stream_urls_come_from_the_file_or_the_environment() {
    let none = read("", &[]).unwrap();
    assert_eq!((none.trusted_proxies, none.media.max_age), (TrustedProxies::default(), None));
    let trusted = TrustedProxies::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap();
    let file = "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n[media]\nmax_age = 300";
    let variables = [("TOUCHTONE_TRUSTED_PROXIES", "127.0.0.1 10.0.0.0/8"), ("TOUCHTONE_MEDIA__MAX_AGE", "300")];
    for config in [read(file, &[]).unwrap(), read("", &variables).unwrap()] {
        assert_eq!((config.trusted_proxies, config.media.max_age), (trusted.clone(), Some(Duration::from_secs(300))));
    }
    for (toml, words) in [
        ("trusted_proxies = [\"10.0.0.0/8\", \"proxy.example\"]", "trusted_proxies: entry 2: expected an address"),
        ("trusted_proxies = 7", "trusted_proxies: expected a list"),
        ("[media]\nmax_age = 0", "media.max_age: expected at least 1 second"),
    ] {
        let error = read(toml, &[]).unwrap_err().to_string();
        assert!(error.contains(words), "{toml}: {error}");
    }
}

#[test]
fn an_entry_of_flow_urls_that_is_none_is_named() {
    for (toml, words) in [
        ("flow_urls = [\"https://a.example/\", \"/ivr/\"]", "entry 2 (/ivr/): it must be an absolute"),
        ("flow_urls = [\"https://a.example/x?y=hunter2\"]", "entry 1 (https://a.example/x): it must have no query"),
        ("flow_urls = [\"https://me:hunter2@a.example/\"]", "entry 1 (not shown, for it has a user name)"),
        ("flow_urls = \"ftp://a.example/\"", "entry 1 (ftp://a.example/)"),
        ("flow_urls = 7", "expected a list of URLs"),
        ("flow_urls = [7]", "expected a list of URLs"),
    ] {
        let error = read(toml, &[]).unwrap_err().to_string();
        assert!(error.contains("flow_urls") && error.contains(words), "{toml}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn wrong_values_are_named_and_never_quoted() {
    for (toml, key) in [
        ("auth_token = 12345678", "auth_token"),
        ("time_zone = \"Mars/North\"", "time_zone"),
        ("listen = \"here\"", "listen"),
        ("[media]\nidle_timeout = 0", "idle_timeout"),
        ("[media]\nsecret = \"12345678 short\"", "media.secret"),
        ("[media]\nsecret = 1234567812345678", "media.secret"),
        ("max_connections = \"12345678.5\"", "max_connections"),
        ("[speech]\nengine = \"piper\"", "engine"),
        ("[speech]\nengine = \"robot\"", "engine"),
        ("resolver = \"12345678\"", "resolver"),
        ("[tls]\ncert = \"cert.pem\"", "key"),
        ("[tls]\ncert = 12345678\nkey = \"key.pem\"", "tls.cert"),
        ("tls = \"cert.pem\"", "tls"),
        ("auth_token = 12345678x", "line 1, column"),
        ("auth_token = \"12345678", "line 1, column"),
        ("auth_token = \"12345678\" # x\nauth_token = '12345678'", "auth_token"),
        ("[[connector]]\nname = \"a\"\nkind = \"generic\"\npassword = 12345678 x", "line 4, column"),
    ] {
        let error = read(toml, &[]).unwrap_err().to_string();
        assert!(error.contains(key) && !error.contains("12345678"), "{toml}: {error}");
    }
}
