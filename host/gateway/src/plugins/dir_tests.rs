//! What a directory asks for, and above all what it does not: a guard must never be lost to a file that cannot be read.

use super::*;

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn asks(dir: &Path) -> Plugins {
    Plugins { dir: dir.to_owned(), required: Vec::new(), chain: BTreeMap::new(), written: BTreeMap::new() }
}

fn scanned(dir: &Path) -> BTreeMap<String, Wanted> {
    scan(&asks(dir), &BTreeMap::new()).unwrap()
}

fn refusal(dir: &Path) -> String {
    scanned(dir).remove("a").unwrap().block.unwrap_err()
}

#[test]
fn only_an_absent_directory_is_an_empty_one() {
    let dir = folder();
    assert!(scanned(&dir.path().join("none")).is_empty());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(scan(&asks(&file), &BTreeMap::new()).is_err());
}

#[test]
fn settings_that_cannot_be_read_are_not_no_settings() {
    let dir = folder();
    fs::write(dir.path().join("a.wasm"), "x").unwrap();
    assert!(scanned(dir.path())["a"].block.is_ok());
    let settings = dir.path().join("a.yaml");
    fs::write(&settings, "").unwrap();
    assert!(refusal(dir.path()).contains("is empty"));
    fs::write(&settings, "# nothing to set\n").unwrap();
    assert!(scanned(dir.path())["a"].block.is_ok());
    fs::remove_file(&settings).unwrap();
    fs::create_dir(&settings).unwrap();
    assert!(refusal(dir.path()).contains("no file that can be read"));
    #[cfg(unix)]
    {
        fs::remove_dir(&settings).unwrap();
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &settings).unwrap();
        assert!(refusal(dir.path()).contains("no file that can be read"));
    }
}

#[test]
fn a_component_is_read_only_from_a_file_and_only_to_a_cap() {
    let dir = folder();
    let file = dir.path().join("a.wasm");
    assert_eq!(read(&file, 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    fs::write(&file, "0123456789").unwrap();
    assert!(read(&file, 9).unwrap_err().to_string().contains("10 bytes"));
    assert_eq!(read(&file, 10).unwrap(), b"0123456789");
    assert_ne!(read(dir.path(), 4).unwrap_err().kind(), io::ErrorKind::NotFound);
    #[cfg(unix)]
    {
        let link = dir.path().join("b.wasm");
        std::os::unix::fs::symlink(dir.path().join("nowhere"), &link).unwrap();
        assert_ne!(read(&link, 4).unwrap_err().kind(), io::ErrorKind::NotFound);
        let pipe = dir.path().join("c.wasm");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(read(&pipe, 4).unwrap_err().to_string().contains("no regular file"));
    }
}
