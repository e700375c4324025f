//! The first client key and admin token of a gateway that listens past loopback and was given none.
//!
//! Made once, kept in a file that only its owner can read, printed once. Later starts read the file.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::config::{ClientKey, Secret, hex};

/// What was made or found.
pub struct Issued {
    pub client_key: Secret,
    pub admin_token: Secret,
    pub file: PathBuf,
    /// Made by this start, so the operator has not seen them yet.
    pub new: bool,
}

impl Issued {
    /// The key as the configuration would have it.
    pub fn key(&self) -> ClientKey {
        ClientKey { name: "first".into(), checks: vec![self.client_key.digest()], ..ClientKey::default() }
    }
}

/// Reads the file of an earlier start, or makes it.
///
/// # Errors
/// In words for the operator: no folder to keep it in, or a file that cannot be used.
pub fn issue(folder: Option<&Path>) -> Result<Issued, String> {
    let folder = folder.ok_or(
        "there is no state folder to keep the first key in: name one with --state, or configure `keys:` and `server.admin_token`",
    )?;
    let file = folder.join("first-keys");
    match fs::read_to_string(&file) {
        Ok(text) => {
            let mut lines =
                text.lines().filter_map(|line| line.split_once('=')).map(|(_, value)| value.trim().to_owned());
            match (lines.next(), lines.next()) {
                (Some(client), Some(admin)) if client.len() >= 20 && admin.len() >= 20 => {
                    Ok(Issued { client_key: Secret::new(client), admin_token: Secret::new(admin), file, new: false })
                }
                _ => Err(format!("{} is not what Sluice wrote: delete it to get a new key", file.display())),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let (client, admin) = (random("sk-sluice-")?, random("sluice-admin-")?);
            write(folder, &file, &format!("client_key={client}\nadmin_token={admin}\n"))
                .map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
            Ok(Issued { client_key: Secret::new(client), admin_token: Secret::new(admin), file, new: true })
        }
        Err(error) => Err(format!("{} cannot be read: {error}", file.display())),
    }
}

fn random(prefix: &str) -> Result<String, String> {
    let mut bytes = [0u8; 24];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    Ok(format!("{prefix}{}", hex(&bytes)))
}

fn write(folder: &Path, file: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file)?.write_all(text.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn made_once_and_only_the_owner_can_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = issue(Some(folder.path())).unwrap();
        let second = issue(Some(folder.path())).unwrap();
        assert!(first.new && !second.new);
        assert_eq!(first.client_key.expose(), second.client_key.expose());
        assert_ne!(first.client_key.expose(), first.admin_token.expose());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&first.file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_damaged_file_is_not_silently_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("first-keys"), "nonsense").unwrap();
        assert!(issue(Some(folder.path())).is_err());
    }
}
