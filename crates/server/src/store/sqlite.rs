//! A store in one file of SQLite.
//!
//! The file is a log of changes. It is read once, at the start, and written anew when it has grown
//! to several times what the directory needs; so the rules of what a change does stand in the broker
//! alone. Write-ahead logging with `synchronous=FULL`: what [`Store::append`] has taken outlives a
//! power failure. Others may read the file meanwhile, to back it up; a second broker is kept from it
//! by a lock on a file of its own beside it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};
use simopen_broker::directory::{Change, Directory};

use super::record;
use super::{Store, StoreError};

/// The layout of the file; a file with a higher number is left alone.
const SCHEMA: i64 = 1;
/// `application_id` of the file: "SOpB" (sqlite.org/fileformat2.html §1.3).
const APPLICATION: i64 = 0x534f_7042;
/// Records beyond which a log is written anew where that makes it much shorter.
const ENOUGH: i64 = 10_000;

/// What the name of the file that is locked has beyond the store's.
const LOCK: &str = "-lock";

/// Keeps a directory in a file.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    /// SQLite's own exclusive lock would keep backups out too. Dropped after the connection.
    _lock: File,
    path: PathBuf,
    records: i64,
    /// How many records the log had when it was last written anew, or first read.
    shortest: i64,
}

impl Sqlite {
    /// Opens the file, which nobody else may read; makes it where there is none.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be opened or written, is in use, or is none of ours.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let lock = lock(&path)?;
        create(&path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(&path, flags).map_err(|error| of(&path, &error))?;
        let mut store = Self { connection, _lock: lock, path, records: 0, shortest: 0 };
        store.prepare()?;
        Ok(store)
    }

    fn prepare(&mut self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let application = self.number("PRAGMA application_id")?;
        let schema = self.number("PRAGMA user_version")?;
        match (application, schema) {
            (0, 0) => {}
            (APPLICATION, 1..=SCHEMA) => {}
            (APPLICATION, found) => return Err(StoreError::Newer { path, found, known: SCHEMA }),
            _ => return Err(StoreError::Foreign { path }),
        }
        let settings = format!(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
             BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS change (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
             PRAGMA application_id={APPLICATION}; PRAGMA user_version={SCHEMA};
             COMMIT;"
        );
        self.connection.execute_batch(&settings).map_err(|error| of(&path, &error))?;
        self.records = self.number("SELECT count(*) FROM change")?;
        self.shortest = self.records;
        Ok(())
    }

    fn number(&self, query: &str) -> Result<i64, StoreError> {
        let number = self.connection.query_row(query, [], |row| row.get(0));
        number.map_err(|error| of(&self.path, &error))
    }

    fn read(&self) -> Result<Directory, StoreError> {
        let mut directory = Directory::default();
        let failed = |error: rusqlite::Error| of(&self.path, &error);
        let mut statement = self
            .connection
            .prepare("SELECT number, body FROM change ORDER BY number")
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let number: i64 = row.get(0).map_err(failed)?;
            let body: String = row.get(1).map_err(failed)?;
            let change = record::read(&body).map_err(|why| StoreError::Damaged {
                path: self.path.clone(),
                number,
                why,
            })?;
            directory.apply(&change);
        }
        Ok(directory)
    }

    /// Writes in the place of the log the shortest one that makes the same directory.
    fn rewrite(&mut self) -> Result<(), StoreError> {
        let changes = self.read()?.changes();
        self.write(&changes, "DELETE FROM change")?;
        self.records = length(&changes);
        self.shortest = self.records;
        Ok(())
    }

    fn write(&mut self, changes: &[Change], before: &str) -> Result<(), StoreError> {
        let path = &self.path;
        let failed = |error: rusqlite::Error| of(path, &error);
        let transaction = self.connection.transaction().map_err(failed)?;
        transaction.execute_batch(before).map_err(failed)?;
        {
            let mut insert = transaction
                .prepare_cached("INSERT INTO change (body) VALUES (?1)")
                .map_err(failed)?;
            for change in changes {
                let line = record::write(change)
                    .map_err(|why| StoreError::Other { path: path.clone(), why })?;
                insert.execute([line]).map_err(failed)?;
            }
        }
        transaction.commit().map_err(failed)
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<Directory, StoreError> {
        self.read()
    }

    fn append(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.write(changes, "")?;
        self.records += length(changes);
        if self.records > ENOUGH && self.records > 4 * self.shortest {
            // What was asked for is kept; a log that is too long is only long.
            if let Err(error) = self.rewrite() {
                tracing::warn!(%error, "the log of changes stays long");
                self.shortest = self.records;
            }
        }
        Ok(())
    }
}

fn length(changes: &[Change]) -> i64 {
    i64::try_from(changes.len()).unwrap_or(i64::MAX)
}

/// Keeps a second broker from the file; the kernel gives the lock up when this one ends.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(beside).map_err(|error| unopened(path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(unopened(path, &error)),
    }
}

/// SQLite would make the file readable by all.
fn create(path: &Path) -> Result<(), StoreError> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unopened(path, &error)),
    }
}

fn unopened(path: &Path, error: &io::Error) -> StoreError {
    let path = path.to_owned();
    if error.kind() == io::ErrorKind::ReadOnlyFilesystem {
        StoreError::ReadOnly { path }
    } else if error.kind() == io::ErrorKind::StorageFull {
        StoreError::Full { path }
    } else {
        StoreError::Open { path, why: error.to_string() }
    }
}

fn of(path: &Path, error: &rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    let Some(code) = error.sqlite_error_code() else {
        return StoreError::Other { path, why: error.to_string() };
    };
    if code == ErrorCode::DatabaseBusy || code == ErrorCode::DatabaseLocked {
        StoreError::Locked { path }
    } else if code == ErrorCode::ReadOnly {
        StoreError::ReadOnly { path }
    } else if code == ErrorCode::DiskFull {
        StoreError::Full { path }
    } else if code == ErrorCode::CannotOpen {
        StoreError::Open { path, why: error.to_string() }
    } else if code == ErrorCode::NotADatabase {
        StoreError::Foreign { path }
    } else {
        StoreError::Other { path, why: error.to_string() }
    }
}
