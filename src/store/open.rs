//! Opening the store: which database, with which key, as which node.
//!
//! Shape:   [`open`] for what needs everything, [`open_to_read`] for commands that only read and mark rows. A server holds its data
//!          folder, and its SQLite file, by locks of the operating system for as long as it runs.
//! Errors:  [`OpenError`], each with what to do about it.
//! Secrets: the key that is made is written to a file for its owner alone and never shown; the database's URL neither.
#![allow(clippy::disallowed_methods, reason = "at the start, when nobody else is held up")]

use std::borrow::Cow;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;
use zeroize::Zeroizing;

use super::backend::{Backend, BackendError, NodeId};
use super::seal::{Seal, SealedPlace};
use super::settings::{SecretKey, StoreSettings};
use super::sql::{DatabaseAddress, IfMissing, OpenDatabaseError, Sql};
use super::{Store, StoreError};
use crate::private_file;
use crate::secret::Secret;

/// The key that was made, in the data folder.
const KEY_FILE: &str = "secret.key";

/// Who holds the data folder, or held it last; locked while that server runs.
const NODE_FILE: &str = "node";

/// What is put after the name of SQLite's file for the file that is locked: SQLite loses its own locks when somebody else in
/// the process closes the database's file.
const LOCK_SUFFIX: &str = ".lock";

/// What names the run of the operating system: locks die with it.
const BOOT_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// The note that shows that the key is the right one, and its text.
const SEAL_NOTE: &str = "seal";
const SEALED: &str = "touchtone";

/// Who opens the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server: the only one at a time that uses the data folder, and the only one that uses the SQLite file.
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
    /// Another server uses the database's file.
    #[error(
        "another `touchtone serve` uses the database {0}; stop it, or give this one another file (servers share PostgreSQL, \
         not SQLite)"
    )]
    DatabaseInUse(PathBuf),
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

/// Opens everything: the database that is set or the data folder's, the key, the node.
///
/// A [`Role::Server`] holds the data folder until the last clone of the store is gone.
///
/// # Errors
/// [`OpenError`].
pub async fn open(settings: &StoreSettings, role: Role) -> Result<Store, OpenError> {
    let data = &settings.data;
    let node = NodeId::random();
    let (mut folder, mut locks) = (None, Vec::new());
    if role == Role::Server {
        // First: of two servers that start at once only one makes a key.
        folder = Some(DataFolder::lock(data)?);
        if let DatabaseAddress::Sqlite(path) = &*address(settings) {
            locks.push(lock_database(path)?);
        }
    }
    let key = match &settings.secret_key {
        Some(SecretKey(key)) => OpenedKey { text: key.clone(), made: None },
        None => OpenedKey::of_folder(data)?,
    };
    let sql = Sql::open(&address(settings), IfMissing::Create).await?;
    let seal = Seal::new(&key.text).map_err(StoreError::from)?;
    if let Err(error) = check(&sql, &seal, data).await {
        key.undo();
        return Err(error);
    }
    let Some(folder) = folder else { return Ok(Store::new(Arc::new(sql), seal, node)) };
    let ended = folder.ended();
    sql.register(node, ended).await?;
    // Not before: what was proven is proven once.
    locks.push(folder.take_over(node)?);
    Ok(Store::new(Arc::new(sql.holding(locks)), seal, node))
}

/// Opens the database alone, for what needs no key. It is not made if it is not there.
///
/// # Errors
/// [`OpenError`].
pub async fn open_to_read(settings: &StoreSettings) -> Result<Arc<dyn Backend>, OpenError> {
    Ok(Arc::new(Sql::open(&address(settings), IfMissing::Fail).await?))
}

fn address(settings: &StoreSettings) -> Cow<'_, DatabaseAddress> {
    let own = || Cow::Owned(DatabaseAddress::within(&settings.data));
    settings.database.as_ref().map_or_else(own, Cow::Borrowed)
}

/// Whether the key is the one that the database was made with.
async fn check(sql: &Sql, seal: &Seal, data: &Path) -> Result<(), OpenError> {
    let known = sql.note(SEAL_NOTE).await?;
    let sealed = match known {
        Some(known) => known,
        None => {
            let new =
                seal.close(&Secret::new(SEALED.to_owned()), SealedPlace::note(SEAL_NOTE)).map_err(StoreError::from)?;
            sql.keep_note(SEAL_NOTE, new).await?
        }
    };
    match seal.open(&sealed, SealedPlace::note(SEAL_NOTE)) {
        // It is a text that everybody knows: to whom it is bound does not matter.
        Ok(opened) if opened.text.matches(SEALED) => Ok(()),
        _ => Err(OpenError::WrongKey(data.join(KEY_FILE))),
    }
}

/// A key, and where it was made if it was made just now.
struct OpenedKey {
    text: Secret,
    made: Option<PathBuf>,
}

impl OpenedKey {
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
                private_file::write_new(&path, &text).map_err(failed)?;
                Ok(Self { text: Secret::new(text.to_string()), made: Some(path) })
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// A key that does not fit is not left behind to be taken for one that does.
    fn undo(self) {
        if let Some(path) = self.made {
            // Why the store cannot be opened is told already.
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

/// A data folder that this process holds.
struct DataFolder {
    path: PathBuf,
    lock: File,
    /// Who held it before, and what was written down about how.
    before: Option<(NodeId, String)>,
}

impl DataFolder {
    /// Locks the data folder, which no other server may use at the same time.
    fn lock(data: &Path) -> Result<Self, OpenError> {
        let path = data.join(NODE_FILE);
        let failed = |source| OpenError::File { path: path.clone(), source };
        let mut file = lock(&path).map_err(failed)?.ok_or_else(|| OpenError::InUse(data.to_owned()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let mut lines = text.lines();
        // Empty: made just now, or by a process that died before it wrote.
        let before = match lines.next().map(str::trim).filter(|line| !line.is_empty()) {
            Some(id) => {
                let Ok(id) = Uuid::try_parse(id) else { return Err(OpenError::Node(path)) };
                Some((NodeId(id), lines.next().unwrap_or_default().to_owned()))
            }
            None => None,
        };
        Ok(Self { path, lock: file, before })
    }

    /// The run before, if it is certain that it is over: it held the lock on this very file in this very run of the operating
    /// system. A copy of the folder, a copy of the whole machine or a folder on another machine's disk proves nothing.
    fn ended(&self) -> Option<NodeId> {
        let (node, held) = self.before.as_ref()?;
        (holding(&self.lock).as_deref() == Some(held)).then_some(*node)
    }

    /// Writes down who holds the folder now; gives what holds it.
    fn take_over(mut self, node: NodeId) -> Result<File, OpenError> {
        let NodeId(id) = node;
        let text = format!("{id}\n{}\n", holding(&self.lock).unwrap_or_default());
        let written = self.lock.set_len(0).and_then(|()| self.lock.rewind());
        let written = written.and_then(|()| self.lock.write_all(text.as_bytes())).and_then(|()| self.lock.sync_all());
        written.map_err(|source| OpenError::File { path: self.path, source })?;
        Ok(self.lock)
    }
}

/// What a lock on this file is a lock on: the file itself, whatever it is called, in this run of the operating system. None
/// where that cannot be told.
fn holding(file: &File) -> Option<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        let boot = std::fs::read_to_string(BOOT_FILE).ok()?;
        let metadata = file.metadata().ok()?;
        Some(format!("{} {}:{}", boot.trim(), metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = file;
        None
    }
}

/// Keeps a SQLite file for this server, by whatever path it is reached.
fn lock_database(path: &Path) -> Result<File, OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    let real = match std::fs::canonicalize(path) {
        Ok(real) => real,
        // Not made yet.
        Err(_) => match (path.parent(), path.file_name()) {
            (Some(folder), Some(name)) => {
                let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
                std::fs::create_dir_all(folder).map_err(failed)?;
                std::fs::canonicalize(folder).map_err(failed)?.join(name)
            }
            _ => path.to_owned(),
        },
    };
    let mut beside = real.into_os_string();
    beside.push(LOCK_SUFFIX);
    lock(Path::new(&beside)).map_err(failed)?.ok_or_else(|| OpenError::DatabaseInUse(path.to_owned()))
}

/// Opens a file and locks it. None: another process has.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = private_file::open(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(source),
    }
}
