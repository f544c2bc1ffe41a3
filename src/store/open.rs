//! Opening the store: which database, with which key, as which node.
//!
//! Shape:   [`open`] for what needs everything, [`books`] for commands that only read and mark rows.
//! Limits:  [`KEY_LENGTH_MIN`].
//! Errors:  [`OpenError`], each with what to do about it.
//! Secrets: the key that is made is written to a file for its owner alone and never shown; the database's URL neither.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::backend::{Backend, BackendError, NodeId};
use super::seal::Seal;
use super::sql::{DatabaseAddress, IfMissing, OpenDatabaseError, Sql};
use super::{Store, StoreError};
use crate::config::Config;
use crate::secret::Secret;

/// The shortest `secret_key`, in bytes. Our choice: below it one would be guessed.
pub const KEY_LENGTH_MIN: usize = 16;

/// The key that was made, in the data folder.
const KEY_FILE: &str = "secret.key";

/// The node's id, in the data folder; locked while its server runs.
const NODE_FILE: &str = "node";

/// The note that shows that the key is the right one, and its text.
const SEAL_NOTE: &str = "seal";
const SEALED: &str = "touchtone";

/// Who opens the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server: it is the data folder's node, the only one at a time.
    Server,
    /// A command: a node of its own that claims nothing. It works beside a server.
    Command,
}

/// Why the store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenDatabaseError),
    /// The database opened, and then failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the data folder.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another server uses the data folder.
    #[error("another `touchtone serve` runs with the data folder {0}; stop it, or choose another folder with --data")]
    InUse(PathBuf),
    /// The node's file is not what it was.
    #[error("{0}: not a node's id; remove the file, and a new one is made")]
    Node(PathBuf),
    /// The key's file is not what it was.
    #[error("{0}: not a key; restore the file that touchtone made")]
    Key(PathBuf),
    /// The database was sealed with another key.
    #[error(
        "the database was sealed with another secret_key: set the one it was made with, or restore {0}; servers that share \
         a database need the same secret_key"
    )]
    WrongKey(PathBuf),
    /// There is no randomness.
    #[error("the system has no random numbers: {0}")]
    Random(String),
}

impl From<BackendError> for OpenError {
    fn from(error: BackendError) -> Self {
        Self::Store(error.into())
    }
}

/// Opens everything: the database that is configured or the data folder's, the key, the node.
///
/// A [`Role::Server`] holds the data folder until the last clone of the store is gone.
///
/// # Errors
/// [`OpenError`].
pub async fn open(config: &Config, role: Role) -> Result<Store, OpenError> {
    let data = &config.data;
    let node = match role {
        Role::Server => Node::lock(data)?,
        Role::Command => Node { id: NodeId::random(), lock: None },
    };
    let key = match &config.secret_key {
        Some(SecretKey(key)) => Key { text: key.clone(), made: None },
        None => Key::of_folder(data)?,
    };
    let sql = Sql::open(&address(config), IfMissing::Create).await?;
    let seal = Seal::new(&key.text).map_err(StoreError::from)?;
    if let Err(error) = check(&sql, &seal, data).await {
        key.undo();
        return Err(error);
    }
    let store = Store::new(Arc::new(sql.holding(node.lock)), seal, node.id);
    if role == Role::Server {
        // What an earlier process was working on. Later it could not be told from what this one is working on.
        store.release_own().await?;
    }
    Ok(store)
}

/// Opens the database alone, for what needs no key. It is not made if it is not there.
///
/// # Errors
/// [`OpenError`].
pub async fn books(config: &Config) -> Result<Arc<dyn Backend>, OpenError> {
    Ok(Arc::new(Sql::open(&address(config), IfMissing::Fail).await?))
}

fn address(config: &Config) -> DatabaseAddress {
    config.database.clone().unwrap_or_else(|| DatabaseAddress::within(&config.data))
}

/// Whether the key is the one that the database was made with.
async fn check(sql: &Sql, seal: &Seal, data: &Path) -> Result<(), OpenError> {
    let known = sql.note(SEAL_NOTE).await?;
    let sealed = match known {
        Some(known) => known,
        None => {
            let new = seal.close(&Secret::new(SEALED.to_owned())).map_err(StoreError::from)?;
            sql.keep_note(SEAL_NOTE, new).await?
        }
    };
    match seal.open(&sealed) {
        Ok(text) if text.matches(SEALED) => Ok(()),
        _ => Err(OpenError::WrongKey(data.join(KEY_FILE))),
    }
}

/// The key `secret_key`.
#[derive(Clone, Debug)]
pub struct SecretKey(pub Secret);

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let key = Secret::deserialize(deserializer)?;
        if key.expose().len() < KEY_LENGTH_MIN {
            return Err(de::Error::custom(format!("expected at least {KEY_LENGTH_MIN} characters")));
        }
        Ok(Self(key))
    }
}

/// A key, and where it was made if it was made just now.
struct Key {
    text: Secret,
    made: Option<PathBuf>,
}

impl Key {
    /// The data folder's, made if there is none.
    fn of_folder(data: &Path) -> Result<Self, OpenError> {
        let path = data.join(KEY_FILE);
        let failed = |source| OpenError::File { path: path.clone(), source };
        match std::fs::read_to_string(&path).map(Zeroizing::new) {
            Ok(text) if text.trim().len() == 2 * KEY_BYTES => {
                Ok(Self { text: Secret::new(text.trim().to_owned()), made: None })
            }
            Ok(_) => Err(OpenError::Key(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut bytes = Zeroizing::new([0; KEY_BYTES]);
                getrandom::fill(&mut *bytes).map_err(|error| OpenError::Random(error.to_string()))?;
                let text = Zeroizing::new(hex(&*bytes));
                keep(&path, &text).map_err(failed)?;
                Ok(Self { text: Secret::new(text.to_string()), made: Some(path) })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A key that does not fit is not left behind to be taken for one that does.
    fn undo(self) {
        if let Some(path) = self.made {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// How many random bytes a key has that is made here.
const KEY_BYTES: usize = 32;

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    for byte in bytes {
        text.extend([byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()));
    }
    text
}

/// Writes a new file for its owner alone, to the disk.
fn keep(path: &Path, text: &str) -> io::Result<()> {
    let mut file = private(OpenOptions::new().write(true).create_new(true), path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path)
}

/// A node, and what keeps others from being it.
struct Node {
    id: NodeId,
    lock: Option<File>,
}

impl Node {
    /// The data folder's, which no other process may be at the same time.
    fn lock(data: &Path) -> Result<Self, OpenError> {
        let path = data.join(NODE_FILE);
        let failed = |source| OpenError::File { path: path.clone(), source };
        let mut file =
            private(OpenOptions::new().read(true).write(true).create(true).truncate(false), &path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse(data.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        // Empty: made just now, or by a process that died before it wrote.
        let id = if text.trim().is_empty() {
            let NodeId(id) = NodeId::random();
            file.rewind().and_then(|()| writeln!(file, "{id}")).and_then(|()| file.sync_all()).map_err(failed)?;
            id
        } else {
            Uuid::try_parse(text.trim()).map_err(|_| OpenError::Node(path))?
        };
        Ok(Self { id: NodeId(id), lock: Some(file) })
    }
}
