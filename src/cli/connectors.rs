//! `touchtone connectors`
//!
//! Shape:   each command opens the store as `serve` does, beside a server that may be running, and leaves the rest to
//!          [`ConnectorStore`].
//! Secrets: never on the command line: [`given`] reads them from files, pipes or a terminal that does not show them.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;

use super::CommandFailure;
use crate::clock::WallClock;
use crate::config::Config;
use crate::connector::instance::{Instance, Origin};
use crate::connector::{ConnectorStore, ConnectorStoreError, DEFAULT_NAME, KINDS, Mode, Registry, Replace};
use crate::http::{Crowd, Gateway, Resolver, install_crypto_provider};
use crate::secret::Secret;
use crate::store::Store;
use crate::store::open::{self, Role};
use given::Given;

mod given;
mod show;
mod typed;

#[derive(Debug, Args)]
pub(super) struct ConnectorsArguments {
    #[command(subcommand)]
    command: ConnectorsCommand,
    /// The configuration file (default: touchtone.toml, if there is one)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// The folder for what is kept (default: data)
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum ConnectorsCommand {
    /// List the instances, configured and stored
    List(OutputOptions),
    /// Show an instance; its secrets are never shown
    Show {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Store an instance; a running server uses it within a second
    Add {
        #[command(flatten)]
        name: Name,
        /// What gateway it is for; `touchtone connectors kinds` lists them with their keys
        #[arg(long)]
        kind: String,
        /// Whether real money moves
        #[arg(long, value_enum, default_value_t = ModeWord::Test)]
        mode: ModeWord,
        /// KEY=VALUE; KEY=@FILE takes what is in a file, KEY=@- a line that is typed or piped: the only ways for secrets
        #[arg(value_name = "KEY=VALUE")]
        keys: Vec<Given>,
        /// Take a name that was live with another address, on purpose: payments that name it go elsewhere from then on
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Give an instance new credentials; the way back in once its gateway has withdrawn its authorization
    Authorize {
        #[command(flatten)]
        name: Name,
        /// The credential as KEY=@FILE, or KEY=@- to type or pipe it; asked for if it is left out
        #[arg(value_name = "KEY=@FILE")]
        keys: Vec<Given>,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Give keys of an instance anew; KEY= takes one back to its default
    Change {
        #[command(flatten)]
        name: Name,
        /// As for `add`; the address of a live instance stays
        #[arg(value_name = "KEY=VALUE", required = true)]
        keys: Vec<Given>,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Take an instance live, for good: real money moves from then on, and its address is fixed
    Live {
        #[command(flatten)]
        name: Name,
        /// The credential for live payments, where it is another one: KEY=@FILE, or KEY=@- to type or pipe it
        #[arg(value_name = "KEY=@FILE")]
        keys: Vec<Given>,
        #[command(flatten)]
        sure: Sure,
        #[command(flatten)]
        output: OutputOptions,
    },
    /// Remove a stored instance and its credentials; payments that are under way go on
    Remove {
        #[command(flatten)]
        name: Name,
        #[command(flatten)]
        sure: Sure,
    },
    /// Ask an instance's gateway whether it is there and takes the credentials; moves no money
    Test {
        #[command(flatten)]
        name: Name,
    },
    /// List the kinds of connectors and their keys
    Kinds(OutputOptions),
}

#[derive(Debug, Args)]
struct Name {
    /// The instance's unique name, as `<Pay paymentConnector>` gives it
    #[arg(value_name = "NAME")]
    name: String,
}

#[derive(Debug, Args)]
struct OutputOptions {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Sure {
    /// Ask nothing; needed where there is no terminal to ask on
    #[arg(long)]
    yes: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeWord {
    /// Only the documented test numbers get through
    Test,
    /// Real money moves
    Live,
}

impl ConnectorsArguments {
    pub(super) fn run(self) -> Result<bool, CommandFailure> {
        if let ConnectorsCommand::Kinds(output) = &self.command {
            show::kinds(KINDS, output.json)?;
            return Ok(true);
        }
        // Before the first secret is read.
        super::hardening::harden();
        let mut config = Config::load(self.config.as_deref()).map_err(CommandFailure::new)?;
        if let Some(data) = self.data {
            config.data = data;
        }
        install_crypto_provider();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        runtime
            .map_err(CommandFailure::new)?
            .block_on(async { CommandContext::open(&config).await?.run(self.command).await })
    }
}

/// What every command needs.
struct CommandContext {
    store: Store,
    registry: Registry,
}

impl CommandContext {
    async fn open(config: &Config) -> Result<Self, CommandFailure> {
        let gateway =
            Arc::new(Gateway::with(&Resolver::new(config.resolver), Crowd::default()).map_err(CommandFailure::new)?);
        let registry = Registry::with_stand_in(&config.connectors, &gateway, WallClock::System, config.exposure());
        let registry = registry.map_err(CommandFailure::new)?;
        let store = open::open(&config.store(), Role::Command).await.map_err(CommandFailure::new)?;
        registry.refresh(&store).await.map_err(CommandFailure::new)?;
        // No error here: `remove` is how the stored one goes.
        if let Err(twins) = registry.refuse_twins() {
            eprintln!("touchtone: {twins}");
        }
        Ok(Self { store, registry })
    }

    async fn run(self, command: ConnectorsCommand) -> Result<bool, CommandFailure> {
        let actor = super::actor::of_command();
        let connector_store = ConnectorStore::new(&self.store, &self.registry, &actor);
        match command {
            ConnectorsCommand::Kinds(output) => show::kinds(KINDS, output.json)?,
            ConnectorsCommand::List(output) => show::list(&connector_store.list().await?, output.json)?,
            ConnectorsCommand::Show { name: Name { name }, output } => {
                show::one(&connector_store.show(&name).await?, output.json)?
            }
            ConnectorsCommand::Add { name: Name { name }, kind, mode, keys, replace, output } => {
                let mut keys = given::keys(keys)?;
                for (settled, value) in [("name", name), ("kind", kind), ("mode", mode.word().to_owned())] {
                    if keys.has(settled) {
                        return Err(CommandFailure(format!("{settled} is not given as a key here; see --help")));
                    }
                    keys.set(settled, Secret::new(value));
                }
                given::ask_for_missing(&mut keys)?;
                let replace = if replace { Replace::Yes } else { Replace::No };
                let stood_in = self.registry.is_stand_in();
                done(&connector_store.add(keys, replace, Timestamp::now()).await?, "is stored", output.json)?;
                if stood_in && self.registry.instance(DEFAULT_NAME).is_none() {
                    eprintln!("\n{}", show::NO_DEFAULT);
                }
            }
            ConnectorsCommand::Authorize { name: Name { name }, keys, output } => {
                let mut keys = given::keys(keys)?;
                if keys.is_empty() {
                    given::ask_again(&mut keys, &connector_store.show(&name).await?)?;
                }
                done(
                    &connector_store.authorize(&name, keys, Timestamp::now()).await?,
                    "is authorized anew",
                    output.json,
                )?;
            }
            ConnectorsCommand::Change { name: Name { name }, keys, output } => {
                let keys = given::keys(keys)?;
                done(&connector_store.change(&name, keys, Timestamp::now()).await?, "is changed", output.json)?;
            }
            ConnectorsCommand::Live { name: Name { name }, keys, sure, output } => {
                let mut keys = given::keys(keys)?;
                let before = connector_store.show(&name).await?;
                if before.mode != Some(Mode::Live) && before.origin == Origin::Stored {
                    sure.ask(&format!("Take {name} live, for good, with {}?", show::address(&before)))?;
                    if keys.is_empty() {
                        given::ask_for_mode(&mut keys, &before)?;
                    }
                }
                done(&connector_store.live(&name, keys, Timestamp::now()).await?, "is live", output.json)?;
            }
            ConnectorsCommand::Remove { name: Name { name }, sure } => {
                // Whether it can be is the store's to say.
                if let Some(Instance { origin: Origin::Stored, kind, .. }) = self.registry.instance(&name) {
                    sure.ask(&format!("Remove {name} ({}) and its credentials?", kind.unwrap_or("unreadable")))?;
                }
                connector_store.remove(&name, Timestamp::now()).await?;
                println!("{name} is removed; a running server forgets it within a second");
                if self.registry.is_empty() {
                    println!("{}", show::NONE);
                }
            }
            ConnectorsCommand::Test { name: Name { name } } => return self.test(&name).await,
        }
        Ok(true)
    }

    async fn test(&self, name: &str) -> Result<bool, CommandFailure> {
        let instance = ConnectorStore::new(&self.store, &self.registry, &super::actor::of_command()).show(name).await?;
        let Some(connector) = self.registry.find(name) else {
            return Err(CommandFailure(format!("{name}: {}", instance.fault.unwrap_or_default())));
        };
        match connector.check().await {
            Ok(()) => {
                println!("{name}: its gateway is there and takes the credentials");
                if instance.withdrawn.is_some() {
                    println!("It still needs authorization: run `touchtone connectors authorize {name}`");
                }
                Ok(true)
            }
            Err(refused) => {
                println!("{name}: {refused}");
                Ok(false)
            }
        }
    }
}

fn done(instance: &Instance, what: &str, json: bool) -> Result<(), CommandFailure> {
    if !json {
        println!("{} {what}; a running server knows within a second\n", instance.name);
    }
    show::one(instance, json)
}

impl ModeWord {
    const fn word(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Live => "live",
        }
    }
}

impl Sure {
    /// Asks a person. Where there is none, somebody has to have said yes before.
    fn ask(&self, question: &str) -> Result<(), CommandFailure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(CommandFailure(format!("{question} Nobody is here to ask, so nothing was done: give --yes")));
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        std::io::stderr()
            .flush()
            .and_then(|()| std::io::stdin().read_line(&mut answer))
            .map_err(CommandFailure::new)?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(CommandFailure("nothing was done".to_owned())),
        }
    }
}

impl From<ConnectorStoreError> for CommandFailure {
    fn from(error: ConnectorStoreError) -> Self {
        match error {
            ConnectorStoreError::NoCredential { .. } => {
                Self(format!("{error} as KEY=@FILE, or as KEY=@- to type or pipe it"))
            }
            ConnectorStoreError::Unknown { hint: None, .. } => {
                Self(format!("{error}; `touchtone connectors list` shows those there are"))
            }
            other => Self::new(other),
        }
    }
}
