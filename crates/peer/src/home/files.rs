//! Private files: made for their owner alone, replaced as a whole.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::HomeError;

const PRIVATE_FOLDER: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;
/// Everything that others may be allowed.
const OTHERS: u32 = 0o077;
/// The longest file that is read: the bounded log aside, none comes near.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// Makes a directory for its owner alone, with those above it; one that is there has to be so.
pub(super) fn make_private(path: &Path) -> Result<(), HomeError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => check(path, &metadata, PRIVATE_FOLDER),
        Ok(_) => Err(HomeError::Damaged {
            path: path.to_owned(),
            why: "it is no directory; name another one by --home".to_owned(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_FOLDER)
            .create(path)
            .map_err(refused("made", path)),
        Err(error) => Err(refused("read", path)(error)),
    }
}

/// Reads a file that its owner alone may read. `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, HomeError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused("read", path)(error)),
    };
    check(path, &metadata, PRIVATE_FILE)?;
    if metadata.len() > MAX_FILE_BYTES {
        let why = format!("it is longer than {MAX_FILE_BYTES} bytes");
        return Err(HomeError::Damaged { path: path.to_owned(), why });
    }
    fs::read(path).map(Some).map_err(refused("read", path))
}

/// Reads a file that has to be there.
pub(super) fn read_needed(path: &Path) -> Result<Vec<u8>, HomeError> {
    read(path)?.ok_or_else(|| refused("read", path)(io::ErrorKind::NotFound.into()))
}

/// Replaces a file, or makes it: a reader sees the old one or the new one.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), HomeError> {
    let unfinished = beside(path);
    // Another run may have been cut off here.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(refused("removed", &unfinished)(error));
        }
        Ok(()) | Err(_) => {}
    }
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(PRIVATE_FILE)
        .open(&unfinished)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(refused("written", &unfinished))?;
    rename(&unfinished, path)
}

/// Waits until no other process holds this file, and holds it until the result is dropped.
pub(super) fn lock(path: &Path) -> Result<File, HomeError> {
    let file = lock_file(path)?;
    file.lock().map_err(refused("locked", path))?;
    Ok(file)
}

/// Holds this file until the result is dropped. `None` where another process holds it.
pub(super) fn try_lock(path: &Path) -> Result<Option<File>, HomeError> {
    let file = lock_file(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(refused("locked", path)(error)),
    }
}

fn lock_file(path: &Path) -> Result<File, HomeError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(PRIVATE_FILE)
        .open(path)
        .map_err(refused("opened", path))
}

/// Puts a finished file or folder into its place, and lets that last.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), HomeError> {
    fs::rename(from, to).map_err(refused("written", to))?;
    let folder = to.parent().unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(refused("written", folder))
}

/// Removes a folder and what is in it, if it is there.
pub(super) fn remove_folder(path: &Path) -> Result<(), HomeError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(refused("removed", path)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The names of what is in a folder.
pub(super) fn names(path: &Path) -> Result<Vec<OsString>, HomeError> {
    let entries = fs::read_dir(path).map_err(refused("read", path))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    names.collect::<io::Result<_>>().map_err(refused("read", path))
}

/// Reads a JSON file. `None` where there is none.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, HomeError> {
    let Some(bytes) = read(path)? else {
        return Ok(None);
    };
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|error| HomeError::Damaged { path: path.to_owned(), why: error.to_string() })
}

/// Writes a JSON file, for people too.
pub(super) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), HomeError> {
    let mut bytes = serde_json::to_vec_pretty(value)
        .map_err(|error| HomeError::Damaged { path: path.to_owned(), why: error.to_string() })?;
    bytes.push(b'\n');
    write(path, &bytes)
}

/// What the system said to an attempt to do something with a path.
pub(super) fn refused(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> HomeError + use<> {
    let path = path.to_owned();
    move |source| HomeError::System { what, path, source }
}

fn check(path: &Path, metadata: &fs::Metadata, wanted: u32) -> Result<(), HomeError> {
    let own = own_user(path)?;
    if metadata.uid() != own {
        return Err(HomeError::Foreign { path: path.to_owned(), owner: metadata.uid() });
    }
    let mode = metadata.mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(HomeError::Open { path: path.to_owned(), mode, wanted });
    }
    Ok(())
}

/// The effective user of this process: /proc/self belongs to it (proc(5)).
fn own_user(path: &Path) -> Result<u32, HomeError> {
    fs::metadata("/proc/self").map(|metadata| metadata.uid()).map_err(refused("checked", path))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    path.with_file_name(name)
}
