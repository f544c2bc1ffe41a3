//! `touchtone serve`

use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use super::CommandFailure;
use crate::account::Account;
use crate::config::Config;
use crate::http::install_crypto_provider;
use crate::server::Server;

/// What is logged unless `RUST_LOG` says otherwise.
const LOGGED: &str = "touchtone=info,warn";

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration file (default: touchtone.toml, if there is one)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to listen (default: 127.0.0.1:8080)
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// The folder of flow documents (default: flows)
    #[arg(long, value_name = "DIR")]
    flows: Option<PathBuf>,
    /// The folder for what is kept (default: data)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Write each finished call as a script that replays, with made-up numbers, into this folder
    #[arg(long, value_name = "DIR")]
    record: Option<PathBuf>,
    /// How long running calls may go on after SIGTERM
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    drain: u64,
    /// How to log
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log: LogFormat,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// For machines, a JSON object a line
    Json,
}

impl Serve {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        self.log();
        // Before the first secret is read.
        super::hardening::harden();
        crate::server::raise_open_files();
        let mut config = Config::load(self.config.as_deref()).map_err(CommandFailure::new)?;
        config.warn_of_unknown_variables();
        if let Some(listen) = self.listen {
            config.listen = listen;
        }
        if let Some(flows) = self.flows {
            config.flows = flows;
        }
        if let Some(data) = self.data {
            config.data = data;
        }
        config.record = self.record;
        install_crypto_provider();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CommandFailure::new)?;
        runtime.block_on(serve(config, Duration::from_secs(self.drain)))?;
        Ok(true)
    }

    fn log(&self) {
        let asked = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
        let writer = fmt::layer().with_writer(std::io::stderr);
        match self.log {
            LogFormat::Text => {
                let ansi = std::io::stderr().is_terminal();
                tracing_subscriber::registry()
                    .with(writer.with_ansi(ansi).with_filter(asked.and(filter_fn(may_be_logged))))
                    .init();
            }
            LogFormat::Json => {
                tracing_subscriber::registry()
                    .with(writer.json().with_filter(asked.and(filter_fn(may_be_logged))))
                    .init();
            }
        }
    }
}

/// Whatever is asked for: libraries' finer levels show what goes over the wire, and that is what callers key.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("touchtone") || *metadata.level() <= Level::INFO
}

async fn serve(config: Config, drain: Duration) -> Result<(), CommandFailure> {
    // Before anything is announced: whoever reads the line below may send the signal at once.
    let stop = stopped()?;
    let account = Account::open(&config).map_err(CommandFailure::new)?;
    // Before anything else can fail: it is shown this once.
    if account.is_new {
        println!("made an account, kept in the data folder; its token is shown this once");
        println!("  AccountSid {}", account.sid);
        println!("  AuthToken  {}", account.auth_token.expose());
    }
    let server = Server::open(config, account).await.map_err(CommandFailure::new)?;
    println!("listening on {}://{}", server.scheme(), server.address());
    server.run(stop, drain).await.map_err(CommandFailure::new)
}

/// Ready when the process is told to stop.
fn stopped() -> Result<impl Future<Output = ()> + Send + 'static, CommandFailure> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate()).map_err(CommandFailure::new)?;
    let mut interrupted = signal(SignalKind::interrupt()).map_err(CommandFailure::new)?;
    Ok(async move {
        tokio::select! {
            _ = terminated.recv() => {}
            _ = interrupted.recv() => {}
        }
    })
}
