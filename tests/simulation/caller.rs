//! Callers, as Twilio's media streams bring them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use turmoil::net::TcpStream;

use super::dice::Dice;
use super::plan::{APPLICATIONS, CallPlan, Ends};
use super::server::ACCOUNT;
use super::world::World;

/// Nobody stays on the line for longer.
const TIME_LIMIT: Duration = Duration::from_secs(75);

/// How often the platform says something while nothing happens.
const SOUND_EVERY: Duration = Duration::from_secs(3);

type Socket = WebSocketStream<TcpStream>;

/// All callers; ready when the last one is gone.
pub async fn start(world: Arc<World>) -> turmoil::Result {
    let mut dice = Dice::new(world.plan.seed ^ 0x7068_6f6e_6573);
    let mut calls = tokio::task::JoinSet::new();
    for (number, plan) in (0_u32..).zip(world.plan.calls.clone()) {
        calls.spawn_local(call(Arc::clone(&world), number, plan, dice.others()));
    }
    while let Some(call) = calls.join_next().await {
        call?;
    }
    Ok(())
}

async fn call(world: Arc<World>, number: u32, plan: CallPlan, dice: Dice) {
    sleep(plan.dials_at).await;
    // A load balancer sends it elsewhere when a server does not answer.
    let servers = world.servers();
    for server in (0..servers.len()).cycle().skip(plan.server).take(8) {
        if let Ok(Ok(socket)) = timeout(Duration::from_secs(3), dial(servers[server])).await {
            world.served.lock().unwrap().insert(number, (server, turmoil::sim_elapsed().unwrap()));
            let phone = Phone::new(world, number, plan, dice, socket);
            // A platform that is told nothing hangs up by itself.
            let _ = timeout(TIME_LIMIT, phone.run()).await;
            return;
        }
        sleep(Duration::from_millis(1_500)).await;
    }
    world.note(format_args!("call {number}: no server is reached"));
}

async fn dial(server: &str) -> Result<Socket, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect((server, 80)).await?;
    let (socket, _) = tokio_tungstenite::client_async("ws://server.localhost/media/twilio", stream).await?;
    Ok(socket)
}

struct Phone {
    world: Arc<World>,
    number: u32,
    plan: CallPlan,
    dice: Dice,
    sink: SplitSink<Socket, Message>,
    source: SplitStream<Socket>,
    sequence: u64,
    keyed: u64,
}

/// What the server did, as far as a caller notices.
enum Noticed {
    /// A prompt was played to its end.
    Prompt,
    Nothing,
    Over,
}

impl Phone {
    fn new(world: Arc<World>, number: u32, plan: CallPlan, dice: Dice, socket: Socket) -> Self {
        let (sink, source) = socket.split();
        Self { world, number, plan, dice, sink, source, sequence: 0, keyed: 0 }
    }

    async fn run(mut self) {
        self.begin().await;
        let mut groups = self.plan.groups.clone().into_iter();
        let mut payments = 1;
        loop {
            let Some(group) = groups.next() else {
                if self.plan.payments <= payments {
                    break;
                }
                // Perhaps there is another payment: it asks for the number again once the first one is over.
                payments += 1;
                let noticed = self.listen(Duration::from_secs(25), 2).await;
                match noticed {
                    Noticed::Over => return,
                    _ => groups = self.plan.groups.clone().into_iter(),
                }
                continue;
            };
            let pause = self.dice.millis(self.plan.pause.0, self.plan.pause.1);
            let (patience, prompts) = if self.plan.barges_in { (pause, u32::MAX) } else { (Duration::from_secs(4), 1) };
            if let Noticed::Over = self.listen(patience, prompts).await {
                return;
            }
            for key in group.chars() {
                if self.leaves().await {
                    return;
                }
                self.press(key).await;
            }
            if let Noticed::Over = self.listen(pause, u32::MAX).await {
                return;
            }
        }
        if self.leaves().await {
            return;
        }
        while !matches!(self.listen(Duration::from_secs(600), u32::MAX).await, Noticed::Over) {}
    }

    /// Says what Twilio says first.
    async fn begin(&mut self) {
        let (call, stream) = (self.call_sid(), self.stream_sid());
        self.world.note(format_args!("call {}: begins", self.number));
        self.send(json!({"event": "connected", "protocol": "Call", "version": "1.0.0"})).await;
        let url = format!("http://{}.localhost/doc/{}/1", APPLICATIONS[self.plan.application], self.number);
        let parameters = BTreeMap::from([("url", url.as_str()), ("From", "+15551234567")]);
        self.sequence = 1;
        self.send(json!({
            "event": "start", "sequenceNumber": "1", "streamSid": stream,
            "start": {
                "accountSid": ACCOUNT, "streamSid": stream, "callSid": call, "tracks": ["inbound"],
                "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
                "customParameters": parameters,
            },
        }))
        .await;
    }

    fn call_sid(&self) -> String {
        format!("CA{:032x}", self.number)
    }

    fn stream_sid(&self) -> String {
        format!("MZ{:032x}", self.number)
    }

    /// Whether the moment has come to leave the way that is planned; then it is done.
    async fn leaves(&mut self) -> bool {
        let (keys, pause) = match self.plan.ends {
            Ends::Last => return false,
            Ends::HangsUp { keys, pause }
            | Ends::Star { keys, pause }
            | Ends::Drops { keys, pause }
            | Ends::FallsSilent { keys, pause } => (keys, pause),
        };
        if self.keyed < keys {
            return false;
        }
        if let Noticed::Over = self.listen(pause, u32::MAX).await {
            return true;
        }
        match std::mem::replace(&mut self.plan.ends, Ends::Last) {
            Ends::Last => false,
            Ends::Star { .. } => {
                self.world.note(format_args!("call {}: star", self.number));
                self.press('*').await;
                while !matches!(self.listen(Duration::from_secs(600), u32::MAX).await, Noticed::Over) {}
                true
            }
            Ends::HangsUp { .. } => {
                self.world.note(format_args!("call {}: hangs up", self.number));
                let stop = json!({
                    "event": "stop", "streamSid": self.stream_sid(), "sequenceNumber": self.next().to_string(),
                    "stop": {"accountSid": ACCOUNT, "callSid": self.call_sid()},
                });
                self.send(stop).await;
                let _ = timeout(Duration::from_secs(5), self.sink.close()).await;
                true
            }
            Ends::Drops { .. } => {
                self.world.note(format_args!("call {}: the connection is lost", self.number));
                true
            }
            Ends::FallsSilent { .. } => {
                self.world.note(format_args!("call {}: falls silent", self.number));
                sleep(Duration::from_secs(30)).await;
                true
            }
        }
    }

    /// Takes what the server sends for so long, or until so many prompts were played.
    async fn listen(&mut self, how_long: Duration, prompts: u32) -> Noticed {
        let until = Instant::now() + how_long;
        let mut heard = 0;
        loop {
            let next = until.min(Instant::now() + SOUND_EVERY);
            match tokio::time::timeout_at(next, self.source.next()).await {
                Ok(message) => match self.take(message).await {
                    Noticed::Prompt => {
                        heard += 1;
                        if heard >= prompts {
                            return Noticed::Prompt;
                        }
                    }
                    Noticed::Nothing => {}
                    Noticed::Over => {
                        self.world.note(format_args!("call {}: over", self.number));
                        return Noticed::Over;
                    }
                },
                Err(_) if Instant::now() >= until => return Noticed::Nothing,
                Err(_) => self.sound().await,
            }
        }
    }

    async fn take(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Noticed {
        match message {
            Some(Ok(Message::Text(text))) => {
                self.world.heard.lock().unwrap().push(text.to_string());
                let message: Value = serde_json::from_str(text.as_str()).unwrap();
                if message["event"] != "mark" {
                    return Noticed::Nothing;
                }
                let now = turmoil::sim_elapsed().unwrap();
                self.world.prompted.lock().unwrap().entry(self.number).or_insert(now);
                let echo = json!({
                    "event": "mark", "streamSid": self.stream_sid(), "sequenceNumber": self.next().to_string(),
                    "mark": message["mark"],
                });
                self.send(echo).await;
                Noticed::Prompt
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => Noticed::Over,
            Some(Ok(_)) => Noticed::Nothing,
        }
    }

    async fn press(&mut self, key: char) {
        self.keyed += 1;
        let message = json!({
            "event": "dtmf", "streamSid": self.stream_sid(), "sequenceNumber": self.next().to_string(),
            "dtmf": {"track": "inbound_track", "digit": key.to_string()},
        });
        self.send(message).await;
    }

    /// A little silence, as a platform sends fifty times a second.
    async fn sound(&mut self) {
        let message = json!({
            "event": "media", "streamSid": self.stream_sid(), "sequenceNumber": self.next().to_string(),
            "media": {"track": "inbound", "chunk": "1", "timestamp": "1", "payload": "//////8="},
        });
        self.send(message).await;
    }

    fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    async fn send(&mut self, message: Value) {
        // What cannot be sent is noticed by listening.
        let _ = timeout(Duration::from_secs(5), self.sink.send(Message::text(message.to_string()))).await;
    }
}
