//! HDF5 files: written whole or not at all, and errors that name the file and the dataset.

mod foreign;
mod numbers;

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use hdf5::dataset::Layout;
use hdf5::types::VarLenUnicode;

pub use foreign::foreign;
#[cfg(feature = "cli")]
pub(crate) use foreign::{COMMAND, read_all};
pub use numbers::Numbers;

use crate::error::{Error, Result, listed, shown};
use crate::file::{LFS_POINTER, lfs_pointer, persist, temporary};

/// How often, and after what pause, a locked file is tried again: a child process takes some milliseconds to start, some hundred
/// where compilers keep the machine busy.
const LOCKED: usize = 500;
const PAUSE: Duration = Duration::from_millis(4);
/// As many bytes of an array are believed whatever the file holds of it.
const HARMLESS: u64 = 1 << 26;
/// Bytes that a compressed one becomes at most: deflate's longest match, 258, stands in two bits.
const EXPANSION: u64 = 1032;
/// Most bytes of a virtual dataset, whose values lie in other files.
const VIRTUAL_BYTES: u64 = 1 << 32;

/// Wraps an HDF5 error with the file it happened at.
pub fn error(path: &Path) -> impl Fn(hdf5::Error) -> Error + Copy + '_ {
    // The library breaks its messages into lines.
    move |error| Error::Hdf5 { path: path.into(), what: error.to_string().replace('\n', " ") }
}

/// Writes a file through a temporary neighbour that `fill` fills: `path` appears, or is replaced, only when everything
/// is on the disk.
///
/// # Errors
/// What `fill` reports, or the file cannot be written (folder missing, disk full); nothing is left behind.
pub fn create<T>(path: &Path, fill: impl FnOnce(&hdf5::File) -> Result<T>) -> Result<T> {
    check_name(path)?;
    let part = temporary(path)?;
    let wrong = error(path);
    // Without a sieve buffer: what it holds is written when a dataset is closed, where nobody hears of a full disk.
    let file =
        hdf5::File::with_options().with_fapl(|access| access.sieve_buf_size(0)).create(part.path()).map_err(wrong)?;
    let out = fill(&file)?;
    // Closing would write the rest, too, but a failure there can no longer be told from success by every driver.
    file.flush().map_err(wrong)?;
    unlock(&file);
    file.close().map_err(wrong)?;
    persist(part, path)?;
    Ok(out)
}

/// Gives the library's lock of a file up. A child process that somebody starts meanwhile inherits the open file, and would hold the
/// lock for as long as it lives; a lock that is given up is gone for all who share it.
#[cfg(unix)]
fn unlock(file: &hdf5::File) {
    hdf5::sync::sync(|| {
        let mut handle = std::ptr::null_mut();
        // SAFETY: under the library's lock; the driver of files, the only one in use here, hands out a pointer to its descriptor, which
        // lives as long as the file is open.
        unsafe {
            if hdf5_sys::h5f::H5Fget_vfd_handle(file.id(), hdf5_sys::h5p::H5P_DEFAULT, &mut handle) >= 0
                && !handle.is_null()
            {
                // Where it fails there is no lock.
                libc::flock(*handle.cast::<libc::c_int>(), libc::LOCK_UN);
            }
        }
    });
}

#[cfg(not(unix))]
fn unlock(_file: &hdf5::File) {}

/// Refuses a name that the library cannot pass on.
///
/// # Errors
/// It is no text in UTF-8.
pub fn check_name(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(_) => Ok(()),
        None => {
            Err(Error::Hdf5 { path: path.into(), what: "its name is not UTF-8, as those of HDF5 files are".into() })
        }
    }
}

/// Opens a file for reading.
///
/// # Errors
/// It is missing, not readable, no HDF5 file, or cut off.
pub fn open(path: &Path) -> Result<hdf5::File> {
    // The operating system's own message first: HDF5's for a missing file is a page long.
    std::fs::File::open(path).map_err(Error::io(path))?;
    let mut opened = hdf5::File::open(path);
    // A child process that is just being started holds copies of all open files, and their locks, until its own program is
    // loaded.
    for _ in 0..LOCKED {
        match &opened {
            Err(error) if error.to_string().contains("lock file") => {
                std::thread::sleep(PAUSE);
                opened = hdf5::File::open(path);
            }
            _ => break,
        }
    }
    opened.map_err(|error| {
        let text = error.to_string().replace('\n', " ");
        let what = if text.contains("lock file") {
            format!(
                "locked by a program that writes it, or on a file system without locks; where nobody writes it, set \
                 HDF5_USE_FILE_LOCKING=FALSE: {text}"
            )
        } else {
            let mut start = Vec::new();
            let _ = std::fs::File::open(path).and_then(|file| file.take(LFS_POINTER as u64).read_to_end(&mut start));
            lfs_pointer(&start).map_or_else(|| format!("not a whole HDF5 file: {text}"), String::from)
        };
        Error::Hdf5 { path: path.into(), what }
    })
}

/// Whether a file holds something of that name, which may lead through groups.
///
/// # Errors
/// The file cannot be read: whoever asks for a dataset and takes an error for its absence reads something else without a word.
pub fn has(file: &hdf5::File, path: &Path, name: &str) -> Result<bool> {
    let mut parts = name.split('/').filter(|part| !part.is_empty()).peekable();
    let mut group = file.group("/").map_err(error(path))?;
    while let Some(part) = parts.next() {
        if !group.member_names().map_err(error(path))?.iter().any(|there| there == part) {
            return Ok(false);
        }
        if parts.peek().is_some() {
            group = group.group(part).map_err(error(path))?;
        }
    }
    Ok(true)
}

/// The dataset `name` of an open file, whose shape the file bears out.
///
/// # Errors
/// There is none (the message lists what there is), or it claims more values than the file holds.
pub fn dataset(file: &hdf5::File, path: &Path, name: &str) -> Result<hdf5::Dataset> {
    let wrong = |what: String| Error::Hdf5 { path: path.into(), what };
    let data = file.dataset(name).map_err(|_| {
        let there = file.member_names().map_or_else(|error| error.to_string(), listed);
        wrong(format!("no dataset `{}`; the file holds {there}", shown(name)))
    })?;
    believe(&data).map_err(|what| wrong(format!("dataset `{}`: {what}", shown(name))))?;
    Ok(data)
}

/// Refuses a shape that the file does not bear out.
fn believe(data: &hdf5::Dataset) -> Result<(), String> {
    let (shape, size) = (data.shape(), data.dtype().map_err(|error| error.to_string())?.size() as u64);
    let count = shape.iter().try_fold(1u64, |product, &length| product.checked_mul(length as u64));
    // In memory values are of eight bytes for a while.
    let memory = count.and_then(|count| count.checked_mul(size.max(8))).filter(|&memory| memory <= i64::MAX as u64);
    let (Some(count), Some(memory)) = (count, memory) else { return Err(format!("claims {shape:?} values")) };
    let claimed = count * size;
    let plist = data.dcpl().map_err(|error| error.to_string())?;
    if !plist.external().is_empty() {
        return Err("its values lie in other files, which are not read".into());
    }
    // Of the file that holds it, to which a link may lead.
    let length = data.file().map_or(0, |file| file.size());
    let held = data.storage_size().min(length);
    let enough = match plist.layout() {
        Layout::Compact | Layout::Contiguous => held >= claimed,
        Layout::Chunked => held > 0 && (claimed <= HARMLESS || held.saturating_mul(EXPANSION) >= claimed),
        _ => memory <= VIRTUAL_BYTES,
    };
    if claimed > 0 && !enough {
        return Err(format!("claims {shape:?} values in {claimed} bytes, of which the file holds {held}"));
    }
    // What was never written would be read as zeros.
    if let Some(chunk) = plist.chunk() {
        let written = data.num_chunks().ok_or("its chunks cannot be counted")?;
        let all: usize = shape.iter().zip(&chunk).map(|(&length, &part)| length.div_ceil(part.max(1))).product();
        if written < all {
            return Err(format!("only {written} of its {all} chunks were written"));
        }
    }
    Ok(())
}

/// A text attribute of a file.
///
/// # Errors
/// There is none of that name, or it is no text.
pub fn text(file: &hdf5::File, name: &str) -> hdf5::Result<String> {
    Ok(file.attr(name)?.read_scalar::<VarLenUnicode>()?.to_string())
}

/// Sets a text attribute of a file.
///
/// # Errors
/// The file cannot be written.
pub fn set_text(file: &hdf5::File, name: &str, text: &str) -> hdf5::Result<()> {
    // HDF5 strings end at a NUL; text with one in it loses what follows.
    let text = text.split('\0').next().unwrap_or_default();
    let text: VarLenUnicode = text.parse().unwrap_or_default();
    file.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text)
}

/// Sets a number attribute of a file.
///
/// # Errors
/// The file cannot be written.
pub fn set_number<T: hdf5::H5Type>(file: &hdf5::File, name: &str, value: T) -> hdf5::Result<()> {
    file.new_attr::<T>().create(name)?.write_scalar(&value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_locked_for_a_moment_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("field.h5");
        create(&path, |file| set_number(file, "n", 3).map_err(error(&path))).unwrap();
        // As the copy in a child process would.
        let holder = std::fs::File::open(&path).unwrap();
        holder.lock().unwrap();
        assert!(hdf5::File::open(&path).is_err());
        let release = std::thread::spawn(move || {
            std::thread::sleep(5 * PAUSE);
            drop(holder);
        });
        assert_eq!(open(&path).unwrap().attr("n").unwrap().read_scalar::<i32>().unwrap(), 3);
        release.join().unwrap();
    }
}
