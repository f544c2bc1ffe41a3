//! What servers share or stand on goes away under them: another server, the database's server, the room on a disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::moments::pass;
use super::numbers::Chance;
use super::room::Room;
use super::scene::{Scene, occasion, until};
use super::stored::Telling;
use super::support::postgres::Postgres;
use super::support::wait;
use super::{CALLERS, SETTLING, call, in_peace, kills};

/// For how long the database is away, in milliseconds: now and then for longer than it takes until a server counts as gone,
/// where there is time for that.
const AWAY: u64 = 4_000;
const AWAY_FOR_LONG: u64 = 70_000;

/// From how many kills on there is time.
const MANY_KILLS: usize = 100;

/// For how long there is no room on the disk: longer than a caller waits until an outcome is written down.
const FULL: Duration = Duration::from_secs(8);

/// Two servers on one database, which dies too; one of them is never started again after its last death.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_servers_the_other_one_goes_on_and_inherits_also_when_their_database_died() {
    let mut postgres = Postgres::start(&[]);
    let url = postgres.database().await;
    let data = [Path::new("data"), Path::new("data-2")];
    let mut scene = Scene::set_with(&format!("database = {url:?}\n"), &data).await;
    let books = Arc::clone(&scene.books);
    let (up, line) = watch::channel(Vec::new());
    let callers = call(&mut scene, &line);
    let mut rng = Chance(scene.seeds.below(u64::MAX));
    let mut servers = [Some(scene.start(0).await), Some(scene.start(1).await)];
    let all = [scene.places[0].address(), scene.places[1].address()];
    up.send_replace(all.to_vec());
    let deaths = kills() * 3 / 5;
    for death in 0..deaths {
        occasion(&books, &mut rng).await;
        if death % 6 == 3 {
            books.database(true);
            postgres.stop();
            let longest = if kills() >= MANY_KILLS && rng.below(5) == 0 { AWAY_FOR_LONG } else { AWAY };
            pass(Duration::from_millis(rng.below(longest))).await;
            postgres.start_again();
            books.database(false);
            continue;
        }
        let server = usize::try_from(rng.below(2)).unwrap();
        let other = 1 - server;
        up.send_replace(vec![all[other]]);
        scene.kill(server, servers[server].take().expect("a server that runs"));
        pass(Duration::from_millis(rng.below(500))).await;
        servers[server] = Some(scene.start(server).await);
        up.send_replace(all.to_vec());
    }
    // The other one has to see to what this one leaves.
    occasion(&books, &mut rng).await;
    up.send_replace(vec![all[1]]);
    scene.kill(0, servers[0].take().expect("a server that runs"));
    in_peace(&books, callers).await;
    scene.conclude(servers.into_iter().flatten().collect()).await;
    assert!(books.state().cut() >= deaths / 4, "this has shown nothing");
}

/// SQLite on a disk that is full for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_ends_payments_and_they_go_on_when_there_is_room_again() {
    let room = Room::new();
    let mut scene = Scene::set_with("", &[room.folder()]).await;
    let books = Arc::clone(&scene.books);
    let server = scene.start(0).await;
    let (up, line) = watch::channel(vec![scene.places[0].address()]);
    let callers = call(&mut scene, &line);
    let over = || books.calls_over.load(std::sync::atomic::Ordering::Acquire);
    until(SETTLING, || over() >= 16).await;
    books.database(true);
    room.fill(server.id());
    let before: BTreeSet<String> = books.state().sessions.keys().cloned().collect();
    pass(FULL).await;
    wait::until("payments that begin while the disk is full end", SETTLING, async || {
        let state = books.state();
        let begun = state.sessions.iter().filter(|(name, _)| !before.contains(*name));
        begun.filter(|(_, session)| session.tellings().any(Telling::is_final)).count() >= CALLERS
    })
    .await;
    room.clear(server.id());
    books.database(false);
    in_peace(&books, callers).await;
    assert_eq!(super::support::get(scene.places[0].address(), "/readyz").await.0, 200, "it has recovered by itself");
    // What it told and did not write down, shows now.
    up.send_replace(Vec::new());
    scene.kill(0, server);
    let server = scene.start(0).await;
    until(SETTLING, || super::check::untold(&books.state()) == 0).await;
    scene.conclude(vec![server]).await;
}
