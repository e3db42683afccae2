//! Fetching one file with a program of the system, checked before it takes its place.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::Published;
use super::md5::Md5;
use crate::error::{AtPath, Error, Kind, Result};
use crate::run::{AppendLog, take_place};

/// How often a transfer that brings nothing new is begun again.
const IDLE_TRIES: u32 = 2;

/// Fetches `url` to `path`.
///
/// # Errors
/// When it can't be had, or isn't what was published.
pub(super) fn fetch(
    url: &str,
    file: &Published,
    path: &Path,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<()> {
    let _alone = alone(path)?;
    if path.is_file() {
        // Whoever was waited for has fetched it.
        return Ok(());
    }
    let part = part_of(path);
    let mut pieced = length(&part) > 0;
    pieced |= complete(url, file, &part, progress)?;
    let mut found = digest(&part)?;
    if found != file.md5 && pieced {
        // The pieces aren't of one file: a mirror has changed, or a server doesn't send what it was asked for.
        clear(&part)?;
        complete(url, file, &part, progress)?;
        found = digest(&part)?;
    }
    if found == file.md5 {
        return take_place(&part, path);
    }
    let bytes = length(&part);
    clear(&part)?;
    Err(
        Error::data(format!("{url} brings {bytes} bytes with the MD5 {found}"))
            .expected(format!("the MD5 {} that was published", file.md5))
            .mend("try again"),
    )
}

/// Waits until nobody else fetches into the folder of `path`; others then wait until what is returned has gone. Runs that
/// are begun together would write to one hidden file, each where the other isn't.
fn alone(path: &Path) -> Result<File> {
    let lock = path.with_file_name(".lock");
    AppendLog::open(&lock, 0).map(drop)?;
    let file = File::open(&lock).at_path(&lock)?;
    // Some file systems have no locks; one who fetches alone needs none.
    let _ = file.lock();
    Ok(file)
}

/// The hidden file that a transfer goes to.
fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |about| about.len())
}

fn clear(part: &Path) -> Result<()> {
    AppendLog::open(part, 0).map(drop)
}

/// Transfers until all is there, and says whether it came in pieces.
fn complete(
    url: &str,
    file: &Published,
    part: &Path,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<bool> {
    let (mut idle, mut pieced, mut cleared) = (0, false, false);
    loop {
        let before = length(part);
        match transfer(url, file, part, progress) {
            Ok(()) => return Ok(pieced),
            // Cut off on the way: go on where it stopped, as long as that leads anywhere.
            Err(Trouble::CutOff(_)) if length(part) > before => idle = 0,
            Err(Trouble::CutOff(error)) if before == 0 || idle == IDLE_TRIES => return Err(error),
            Err(Trouble::CutOff(_)) => idle += 1,
            // All may be there already.
            Err(Trouble::CannotGoOn(_)) if before > 0 && digest(part)? == file.md5 => {
                return Ok(pieced);
            }
            Err(Trouble::CannotGoOn(_)) if !cleared => {
                clear(part)?;
                cleared = true;
            }
            Err(Trouble::CannotGoOn(error) | Trouble::Final(error)) => return Err(error),
        }
        pieced = length(part) > 0;
    }
}

/// Why a transfer ended before its end.
enum Trouble {
    /// What came is good as far as it goes.
    CutOff(Error),
    /// The server doesn't send the rest of what is there already.
    CannotGoOn(Error),
    /// Trying again leads nowhere.
    Final(Error),
}

fn transfer(
    url: &str,
    file: &Published,
    part: &Path,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> std::result::Result<(), Trouble> {
    let mut log = AppendLog::open(part, u64::MAX).map_err(Trouble::Final)?;
    let mut bytes = length(part);
    let expected = u64::from(file.megabytes) * 1_000_000;
    let mut child = start(url, bytes).map_err(Trouble::Final)?;
    let mut stream = child
        .stdout
        .take()
        .ok_or_else(|| Trouble::Final(no_program()))?;
    let mut buffer = vec![0; 1 << 16];
    let copied = loop {
        match stream.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => {
                bytes += count as u64;
                // A server that never ends would fill the disk.
                if bytes > 2 * expected {
                    break Err(Error::data(format!("{url} brings more than {bytes} bytes"))
                        .expected(format!("about {expected}")));
                }
                if let Err(error) = log.append(&buffer[..count]) {
                    break Err(error);
                }
                progress(file.name, bytes, expected);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => break Err(Error::io(part, error)),
        }
    };
    if copied.is_err() {
        // It has ended by itself, or has to.
        let _ = child.kill();
    }
    let mut said = String::new();
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut said);
    }
    let status = child
        .wait()
        .map_err(|error| Trouble::Final(Error::io(part, error)))?;
    copied.map_err(Trouble::Final)?;
    log.sync().map_err(Trouble::Final)?;
    if status.success() {
        return Ok(());
    }
    let said = said
        .lines()
        .next()
        .unwrap_or("it says nothing more")
        .trim()
        .to_owned();
    let error = Error::new(Kind::Io, format!("{url} can't be fetched")).because(said.clone());
    let error = error.mend("check the network and try again");
    Err(match status.code() {
        // curl: cut off, timed out, lost while receiving. wget: the network failed.
        Some(18 | 28 | 56 | 92) | Some(4) => Trouble::CutOff(error),
        // curl: no ranges; or an answer of 416, beyond the end.
        Some(33) => Trouble::CannotGoOn(error),
        _ if said.contains("416") => Trouble::CannotGoOn(error),
        _ => Trouble::Final(error),
    })
}

/// A program that writes what is at `url` to its output, from byte `from` on.
fn start(url: &str, from: u64) -> Result<Child> {
    let from = from.to_string();
    let curl = [
        "--fail",
        "--location",
        "--silent",
        "--show-error",
        "--proto",
        "=http,https",
        "--connect-timeout",
        "20",
        "--speed-limit",
        "100",
        "--speed-time",
        "60",
        "--continue-at",
        &from,
        url,
    ];
    let start = format!("--start-pos={from}");
    let wget = [
        "--no-verbose",
        "--tries=1",
        "--timeout=60",
        &start,
        "--output-document=-",
        url,
    ];
    let programs: [(&str, &[&str]); 2] = [("curl", &curl), ("wget", &wget)];
    for (program, arguments) in programs {
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        match child {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            child => return child.at_path(program),
        }
    }
    Err(no_program())
}

fn no_program() -> Error {
    Error::new(Kind::Io, "there is no program to fetch data with")
        .expected("curl or wget on the path")
        .mend("install one of them")
}

fn digest(path: &Path) -> Result<String> {
    let mut file = File::open(path).at_path(path)?;
    let mut md5 = Md5::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer).at_path(path)? {
            0 => return Ok(md5.finish()),
            count => md5.add(&buffer[..count]),
        }
    }
}
