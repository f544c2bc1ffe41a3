//! Opening: what is made, what is refused, and what the refusal says and does not say.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use futures_util::future::join_all;
use sqlx::{AnyConnection, Connection, Executor};
use touchtone::callback::{CallbackKind, CallbackRequest};
use touchtone::config::Config;
use touchtone::form::Form;
use touchtone::http::Jar;
use touchtone::secret::Secret;
use touchtone::store::open::{self, OpenError, Role};
use touchtone::store::sql::{DatabaseAddress, IfMissing, OpenDatabaseError, Sql};
use touchtone::store::{Backend, CallbackFilter, NodeId, PaymentState, SealedPlace, Store, StoreSettings};
use touchtone::twiml::Method;
use uuid::Uuid;

use crate::samples::{at, payment, sid, waiting};
use crate::support::certificates::Authority;
use crate::support::postgres::Postgres;

/// What is set of the store where the configuration has this data folder.
fn settings(data: &Path, toml: &str) -> StoreSettings {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("data = {data:?}\n{toml}\n")).unwrap();
    Config::load(Some(file.path())).unwrap().store()
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("deep/data");
    let store = open::open(&settings(&data, ""), Role::Server).await.unwrap();
    store.backend().insert_payment(payment(1), NodeId::random(), at(1)).await.unwrap();
    let sealed = store.seal().close(&Secret::new("a token".to_owned()), SealedPlace::note("x")).unwrap();
    drop(store);
    let store = open::open(&settings(&data, ""), Role::Server).await.unwrap();
    assert_eq!(store.backend().payment(&sid(1)).await.unwrap().unwrap().state, PaymentState::Preparing);
    assert_eq!(store.seal().open(&sealed, SealedPlace::note("x")).unwrap().text.expose(), "a token");
    for file in ["touchtone.db", "touchtone.db-wal", "touchtone.db-shm", "secret.key", "node"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
}

/// A status callback, of a call of its own, that a store keeps as its own.
async fn leave(store: &Store) {
    let url = "https://shop.example/status".to_owned();
    let request = CallbackRequest {
        kind: CallbackKind::Status,
        method: Method::Post,
        url,
        form: Form::new(),
        cookies: Jar::default(),
    };
    let token = Uuid::new_v4();
    store.queue(&format!("CA{}", token.simple()), &request, token, at(1)).await.unwrap();
}

async fn claimed(store: &Store) -> usize {
    store.claim_callbacks(9).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_left_in_sqlite_is_the_next_ones_at_once_and_nobodys_before() {
    let folder = tempfile::tempdir().unwrap();
    let first = open::open(&settings(folder.path(), ""), Role::Server).await.unwrap();
    leave(&first).await;
    assert_eq!(claimed(&first).await, 0, "it is being seen to");
    let command = open::open(&settings(folder.path(), ""), Role::Command).await.unwrap();
    assert_eq!(claimed(&command).await, 0);
    drop((first, command));
    let second = open::open(&settings(folder.path(), ""), Role::Server).await.unwrap();
    assert_eq!(claimed(&second).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_run_left_in_postgresql_is_the_next_ones_at_once_but_not_a_copied_folders() {
    let (server, folder) = (Postgres::start(&["fsync=off"]), tempfile::tempdir().unwrap());
    let shared = format!("database = \"{}\"\nsecret_key = \"one-key-for-both-of-us\"", server.database().await);
    let (one, copy) = (folder.path().join("one"), folder.path().join("copy"));
    let start = |data: &Path| {
        let config = settings(data, &shared);
        async move { open::open(&config, Role::Server).await }
    };
    let first = start(&one).await.unwrap();
    leave(&first).await;
    // The folder as it is while its server runs, at the same time.
    std::fs::create_dir(&copy).unwrap();
    std::fs::copy(one.join("node"), copy.join("node")).unwrap();
    let copied = start(&copy).await.unwrap();
    leave(&copied).await;
    assert_eq!((claimed(&first).await, claimed(&copied).await), (0, 0), "two servers, two nodes");
    drop(copied);
    let copied = start(&copy).await.unwrap();
    assert_eq!(claimed(&copied).await, 1, "its own run before, and not the one that still runs");
    drop(first);
    drop(copied);
    // As before a restart of the machine: whether what held the folder then is over, nobody can tell.
    let node = std::fs::read_to_string(one.join("node")).unwrap();
    let other_boot = node.lines().next().unwrap().to_owned() + "\nanother-boot 1:2\n";
    std::fs::write(one.join("node"), other_boot).unwrap();
    let second = start(&one).await.unwrap();
    assert_eq!(claimed(&second).await, 0, "not before nobody has heard of it for long enough");
    leave(&second).await;
    drop(second);
    assert_eq!(claimed(&start(&one).await.unwrap()).await, 1, "of that one it is certain");
    std::fs::write(one.join("node"), "x").unwrap();
    let error = start(&one).await.unwrap_err();
    assert!(matches!(error, OpenError::Node(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sqlite_file_has_one_server_by_whatever_path_it_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("books/pay.db");
    let shared =
        |path: &Path| format!("database = \"sqlite://{}\"\nsecret_key = \"one-key-for-both-of-us\"", path.display());
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let first = open::open(&settings(&one, &shared(&file)), Role::Server).await.unwrap();
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &folder.path().join("books/../books/pay.db")] {
        let error = open::open(&settings(&other, &shared(path)), Role::Server).await.unwrap_err();
        assert!(matches!(error, OpenError::DatabaseInUse(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()) && text.contains("PostgreSQL"), "{text}");
    }
    assert_eq!(mode(&folder.path().join("books/pay.db.lock")), 0o600);
    drop(first);
    open::open(&settings(&other, &shared(&link)), Role::Server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_has_one_server_and_any_number_of_commands() {
    let folder = tempfile::tempdir().unwrap();
    let server = open::open(&settings(folder.path(), ""), Role::Server).await.unwrap();
    let error = open::open(&settings(folder.path(), ""), Role::Server).await.unwrap_err().to_string();
    assert!(error.contains(&folder.path().display().to_string()) && error.contains("--data"), "{error}");
    let command = open::open(&settings(folder.path(), ""), Role::Command).await.unwrap();
    command.backend().insert_callback(waiting(1), NodeId::random(), at(1)).await.unwrap();
    let books = open::open_to_read(&settings(folder.path(), "")).await.unwrap();
    let all = CallbackFilter { limit: 9, ..CallbackFilter::default() };
    assert_eq!(books.callbacks(all.clone()).await.unwrap(), server.backend().callbacks(all).await.unwrap());
    drop(server);
    open::open(&settings(folder.path(), ""), Role::Server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_refused_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    drop(open::open(&settings(folder.path(), ""), Role::Server).await.unwrap());
    let key = folder.path().join("secret.key");
    let other = "secret_key = \"another-key-of-mine\"";
    let error = open::open(&settings(folder.path(), other), Role::Server).await.unwrap_err().to_string();
    assert!(error.contains("secret_key") && error.contains(&key.display().to_string()), "{error}");
    assert!(!error.contains("another-key"), "{error}");
    // Lost: one that is made anew does not fit either, and is not left to be taken for the right one.
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&key).unwrap();
    let error = open::open(&settings(folder.path(), ""), Role::Command).await.unwrap_err();
    assert!(matches!(error, OpenError::WrongKey(_)) && !key.exists(), "{error}");
    std::fs::write(&key, "too short").unwrap();
    let error = open::open(&settings(folder.path(), ""), Role::Server).await.unwrap_err();
    assert!(matches!(error, OpenError::Key(_)) && !error.to_string().contains("too short"), "{error}");
    std::fs::write(&key, kept).unwrap();
    open::open(&settings(folder.path(), ""), Role::Server).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_only_look_make_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let error = open::open_to_read(&settings(&data, "")).await.err().unwrap();
    assert!(matches!(error, OpenError::Database(OpenDatabaseError::Missing(_))), "{error}");
    assert!(!data.exists());
}

/// As if a later version had been there.
async fn from_the_future(url: &str) {
    let mut connection = AnyConnection::connect(url).await.unwrap();
    connection.execute("INSERT INTO touchtone_schema (version) VALUES (7)").await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = DatabaseAddress::Sqlite(folder.path().join("books.db"));
    drop(Sql::open(&file, IfMissing::Create).await.unwrap());
    from_the_future(&format!("sqlite://{}", folder.path().join("books.db").display())).await;
    let server = Postgres::start(&["fsync=off"]);
    let url = server.database().await;
    let database: DatabaseAddress = url.parse().unwrap();
    drop(Sql::open(&database, IfMissing::Fail).await.unwrap());
    from_the_future(&url).await;
    for address in [file, database] {
        let error = Sql::open(&address, IfMissing::Create).await.unwrap_err().to_string();
        assert!(error.contains("later version of touchtone") && error.contains("of version 7"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_make_the_tables_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(&["fsync=off"]);
    for address in [
        DatabaseAddress::Sqlite(folder.path().join("books.db")),
        server.database().await.parse::<DatabaseAddress>().unwrap(),
    ] {
        let opening = (0..6).map(|_| Sql::open(&address, IfMissing::Create));
        for opened in join_all(opening).await {
            opened.unwrap().payment("PK").await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_used_is_told_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start(&["fsync=off"]);
    let missing = format!("{}&password=hunter2", server.url("nowhere"));
    for (address, said) in [
        ("postgres://me:hunter2@127.0.0.1:1/pay".to_owned(), "refused"),
        (missing, "database \"nowhere\" does not exist"),
        ("postgres://me:hunter2@127.0.0.1:1/pay?sslmode=hunter2".to_owned(), "parameter"),
        (format!("sqlite://{}", folder.path().display()), "unable to open database file"),
    ] {
        let error = Sql::open(&address.parse().unwrap(), IfMissing::Create).await.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_used_again() {
    let server = Postgres::start(&["fsync=off"]);
    let url = server.database().await;
    let sql = Sql::open(&url.parse().unwrap(), IfMissing::Fail).await.unwrap();
    sql.insert_payment(payment(1), NodeId::random(), at(1)).await.unwrap();
    // Every connection is cut, as by a restart.
    let mut other = AnyConnection::connect(&server.url("postgres")).await.unwrap();
    let cut =
        "SELECT COUNT(pg_terminate_backend(pid)) AS cut FROM pg_stat_activity WHERE application_name = 'touchtone'";
    other.execute(cut).await.unwrap();
    let mut tries = 0;
    while sql.insert_payment(payment(2), NodeId::random(), at(2)).await.is_err() {
        tries += 1;
        assert!(tries < 20, "it stays unusable");
    }
    assert!(sql.payment(&sid(2)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_share_a_database_are_two_nodes_with_one_key() {
    let (server, folder) = (Postgres::start(&["fsync=off"]), tempfile::tempdir().unwrap());
    let shared = format!("database = \"{}\"", server.database().await);
    let with_key = format!("{shared}\nsecret_key = \"one-key-for-both-of-us\"");
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    let first = open::open(&settings(&one, &with_key), Role::Server).await.unwrap();
    let second = open::open(&settings(&other, &with_key), Role::Server).await.unwrap();
    let sealed = first.seal().close(&Secret::new("a token".to_owned()), SealedPlace::note("x")).unwrap();
    assert_eq!(second.seal().open(&sealed, SealedPlace::note("x")).unwrap().text.expose(), "a token");
    let node = |data: &Path| std::fs::read_to_string(data.join("node")).unwrap();
    assert_ne!(node(&one), node(&other));
    assert!(!one.join("secret.key").exists() && !one.join("touchtone.db").exists());
    // A third one that makes a key of its own is told that it needs theirs.
    let third = folder.path().join("third");
    let error = open::open(&settings(&third, &shared), Role::Server).await.unwrap_err().to_string();
    assert!(error.contains("servers that share a database need the same secret_key"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_postgresql_is_as_safe_as_its_url_says() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (_server, port) = Postgres::start_with_tls(&authority.certificate());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, pem: String| {
        std::fs::write(folder.path().join(name), pem).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (ours, other) = (file("ours.pem", authority.pem()), file("other.pem", stranger.pem()));
    let open = async |host: &str, query: &str| {
        let url = format!("postgres://touchtone@{host}:{port}/postgres?{query}");
        Sql::open(&url.parse().unwrap(), IfMissing::Fail).await
    };
    open("localhost", &format!("sslmode=verify-full&sslrootcert={ours}")).await.unwrap();
    open("127.0.0.1", "sslmode=require").await.unwrap();
    let error = open("localhost", &format!("sslmode=verify-full&sslrootcert={other}")).await.unwrap_err().to_string();
    assert!(error.contains("invalid peer certificate"), "{error}");
    // A server without TLS: what needs it is refused.
    let (_plain, port) = Postgres::start_on_loopback();
    let url = format!("postgres://touchtone@127.0.0.1:{port}/postgres");
    Sql::open(&url.parse().unwrap(), IfMissing::Fail).await.unwrap();
    let error = Sql::open(&format!("{url}?sslmode=require").parse().unwrap(), IfMissing::Fail).await.unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}
