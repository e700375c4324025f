//! The files that a configuration was made of, each with a digest of what was in it, so that a change of any is noticed by content.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::secret::sha256;

/// One file beside the configuration's own: a secret, or a certificate authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    path: PathBuf,
    limit: u64,
    /// Of what was read of it; none where it could not be read.
    digest: Option<[u8; 32]>,
}

impl Input {
    /// Reads at most `limit` bytes and one more, by which the caller sees that it is too long.
    pub(super) fn read(path: &Path, limit: u64) -> (Input, io::Result<Vec<u8>>) {
        let content = read(path, limit);
        let digest = content.as_ref().ok().map(|bytes| sha256(bytes));
        (Input { path: path.to_owned(), limit, digest }, content)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it reads otherwise now. What is no regular file has been read once and cannot be read again: it never changes.
    pub fn has_changed(&self) -> bool {
        if std::fs::metadata(&self.path).is_ok_and(|meta| !meta.is_file()) {
            return false;
        }
        Input::read(&self.path, self.limit).0.digest != self.digest
    }

    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        self.digest
    }
}

fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_a_change_of_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (absent, content) = Input::read(&path, 100);
        assert!(content.is_err() && !absent.has_changed());
        std::fs::write(&path, "one").unwrap();
        assert!(absent.has_changed());
        let (one, content) = Input::read(&path, 100);
        assert_eq!(content.unwrap(), b"one");
        std::fs::write(&path, "one").unwrap();
        assert!(!one.has_changed(), "the same content, written again");
        std::fs::write(&path, "two").unwrap();
        assert!(one.has_changed(), "the same length");
        std::fs::remove_file(&path).unwrap();
        assert!(one.has_changed());
    }
}
