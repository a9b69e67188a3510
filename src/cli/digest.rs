//! What identifies the files that went into a report. Decides only what of their names may be written down: no directories.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::config::diagnostic::Diagnostics;
use crate::journal;
use crate::report::Input;

/// The digests of the texts that a scenario was loaded from: the scenario itself, then what it and the command line name.
pub fn of_sources(diagnostics: &Diagnostics) -> Vec<Input> {
    let roles = std::iter::once("scenario").chain(std::iter::repeat("configuration"));
    let inputs = diagnostics.sources().zip(roles).map(|((name, text), role)| {
        let role = if name == "--set" { "argument" } else { role };
        input(role, Path::new(name), &Sha256::digest(text), text.len() as u64)
    });
    inputs.collect()
}

/// The digest of the file at `path`, or of the segments of the journal there, one after the other as they are stored; read in pieces.
///
/// # Errors
/// If it can't be read.
pub fn of_file(role: &'static str, path: &Path) -> io::Result<Input> {
    let mut files = vec![path.to_owned()];
    if journal::is_journal(path) {
        let segments = journal::list(path).map_err(|error| io::Error::other(error.to_string()))?;
        files = segments.into_iter().filter_map(|segment| segment.turns).collect();
    }
    let (mut hasher, mut piece, mut bytes) = (Sha256::new(), vec![0; 1 << 16], 0_u64);
    for file in files {
        let mut file = File::open(file)?;
        loop {
            let read = file.read(&mut piece)?;
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
            bytes += read as u64;
        }
    }
    Ok(input(role, path, &hasher.finalize(), bytes))
}

fn input(role: &'static str, path: &Path, digest: &[u8], bytes: u64) -> Input {
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    Input { role: role.into(), file, sha256, bytes }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn the_digest_is_what_sha256sum_prints() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"abc").unwrap();
        let input = of_file("trace", file.path()).unwrap();
        // FIPS 180-2, appendix B.1.
        assert_eq!(input.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((input.bytes, input.file.contains('/')), (3, false));
    }
}
