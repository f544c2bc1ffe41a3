//! Callbacks that an earlier process or another server left.

use super::*;

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_is_delivered_with_its_token() {
    let application = Scripted::new(Duration::ZERO);
    let servers = Servers::new();
    let (earlier, token) = (servers.store(), Uuid::new_v4());
    earlier.heartbeat().await.unwrap();
    for (url, token) in [("a", token), ("b", Uuid::new_v4())] {
        earlier.queue("CA1", &status(url), token, WallClock::System.now()).await.unwrap();
    }
    let deliveries = servers.start(&application).await;
    assert_eq!(take_over(&deliveries).await, 0, "they are being seen to");
    earlier.release_own().await.unwrap();
    assert_eq!(take_over(&deliveries).await, 2);
    deliveries.drained(DAY).await.unwrap();
    assert_eq!(application.urls(), ["a", "b"]);
    assert_eq!(application.tries.lock().unwrap()[0].2, token);
}

#[tokio::test(start_paused = true)]
async fn what_is_claimed_again_while_it_is_delivered_is_delivered_once_and_no_calls_own_is_claimed() {
    let application = Scripted::new(Duration::from_secs(1));
    let servers = Servers::new();
    left_behind(&servers, "CA1", &["left"]).await;
    let deliveries = servers.start(&application).await;
    deliveries.queue("CA2").send(status("own"));
    assert_eq!(take_over(&deliveries).await, 1);
    // As after a claim whose answer did not come.
    let claimed = deliveries.store.claimed_callbacks(0, 10).await.unwrap();
    assert_eq!(claimed.iter().map(|callback| callback.url.as_str()).collect::<Vec<_>>(), ["(not a URL)"]);
    deliveries.adopt(claimed);
    deliveries.drained(DAY).await.unwrap();
    let mut urls = application.urls();
    urls.sort_unstable();
    assert_eq!(urls, ["left", "own"]);
}

#[tokio::test(start_paused = true)]
async fn two_servers_that_inherit_at_once_keep_the_order_of_each_call() {
    let application = Scripted::new(Duration::from_millis(300));
    let servers = Servers::new();
    let calls: Vec<String> = (0..110).map(|call| format!("CA{call}")).collect();
    // As the calls went on beside each other.
    for number in 0..6 {
        for call in &calls {
            left_behind(&servers, call, &[&format!("{call}/{number}")]).await;
        }
    }
    let (one, other) = (servers.start(&application).await, servers.start(&application).await);
    let mut shares = [0, 0];
    loop {
        let (mine, others) = (take_over(&one).await, take_over(&other).await);
        shares = [shares[0] + mine, shares[1] + others];
        if mine + others == 0 {
            break;
        }
    }
    assert!(shares.iter().all(|share| *share > 0) && shares.iter().sum::<usize>() == 660, "{shares:?}");
    for deliveries in [&one, &other] {
        deliveries.drained(DAY).await.unwrap();
    }
    let urls = application.urls();
    assert_eq!(urls.len(), 660, "each once");
    for call in &calls {
        let of_call = urls.iter().filter_map(|url| url.strip_prefix(&format!("{call}/")));
        assert_eq!(of_call.collect::<Vec<_>>(), ["0", "1", "2", "3", "4", "5"], "{call}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_stepped_aside_is_passed_after_a_takeover_too_and_nothing_else_is() {
    let application = Scripted::new(Duration::ZERO);
    application.fails("a", 1000);
    application.fails("b", 1000);
    let servers = Servers::new();
    let gone = servers.start(&application).await;
    let queue = gone.queue("CA1");
    for url in ["a", "b", "c"] {
        queue.send(status(url));
    }
    // "a" steps aside after a minute; "b" has failed for two seconds when the server goes.
    sleep(Duration::from_secs(62)).await;
    assert_eq!((application.times("b").first(), application.times("c").len()), (Some(&60_000), 0));
    let heir = servers.start(&application).await;
    gone.store.release_own().await.unwrap();
    assert_eq!(take_over(&heir).await, 3);
    sleep(Duration::from_secs(59)).await;
    assert!(application.times("c").is_empty(), "b has not stepped aside yet");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(application.times("c"), [122_000]);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lost_its_callbacks_to_another_no_longer_sends_them() {
    let application = Scripted::new(Duration::from_secs(1));
    let servers = Servers::new();
    let one = servers.start(&application).await;
    let queue = one.queue("CA1");
    for url in ["a", "b"] {
        queue.send(status(url));
    }
    sleep(Duration::from_millis(500)).await;
    // As when nobody heard of it for too long.
    let heir = servers.start(&application).await;
    one.store.release_own().await.unwrap();
    assert_eq!(take_over(&heir).await, 2);
    // What its call tells after that follows what the other one sees to.
    queue.send(status("c"));
    sleep(Duration::from_millis(1)).await;
    assert_eq!((take_over(&one).await, take_over(&heir).await), (0, 1));
    for deliveries in [&one, &heir] {
        deliveries.drained(DAY).await.unwrap();
    }
    let mut urls = application.urls();
    // The one that was on its way when the server was thought to be gone.
    assert_eq!(urls.remove(0), "a");
    assert_eq!(urls, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_over_while_its_call_made_the_request_is_not_sent_from_here_too() {
    let application = Scripted::new(Duration::ZERO);
    let servers = Servers::new();
    let (one, heir) = (servers.start(&application).await, servers.start(&application).await);
    let stored = one.store.queue("CA1", &status("a"), Uuid::new_v4(), WallClock::System.now()).await.unwrap().unwrap();
    one.store.release_own().await.unwrap();
    assert_eq!(take_over(&heir).await, 1);
    one.send_stored(StoredCallback { held: true, ..stored }, one.counted());
    for deliveries in [&one, &heir] {
        deliveries.drained(DAY).await.unwrap();
    }
    assert_eq!(application.urls(), ["a"]);
}
