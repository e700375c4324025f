use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::time::Duration;

use super::*;

const ENGINE: &str = "w48-x86_64";

fn identity(config: &str) -> Identity {
    Identity::new(Some(Path::new(config)), None)
}

struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Home {
        Home { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn open(&self) -> State {
        State::open(Some(&self.path()), &identity("/etc/sluice.yaml"))
    }

    fn files(&self, part: &str) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(self.path().join(part)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files
    }
}

fn dir() -> PathBuf {
    PathBuf::from("/etc/plugins")
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_is_kept_is_there_at_the_next_start() {
    let home = Home::new();
    let state = home.open();
    state.keep_config(b"a: 1\n");
    state.keep_plugin(&dir(), "guard", b"one", Some("order: 1\n"), None);
    state.keep_plugin(&dir(), "bare", b"bare", None, None);
    state.keep_native(ENGINE, &digest(b"one"), b"native");
    drop(state);
    let state = home.open();
    assert_eq!(state.good_config().unwrap(), b"a: 1\n");
    let plugins = state.plugins(&dir());
    let guard = &plugins["guard"].good[0];
    assert_eq!(state.object(&guard.component).unwrap(), b"one");
    assert_eq!(state.object(guard.settings.as_deref().unwrap()).unwrap(), b"order: 1\n");
    assert_eq!(plugins["bare"].good, [Kept::of(b"bare", None)]);
    assert_eq!(state.native(ENGINE, &guard.component).unwrap(), b"native");
    assert!(state.native("another", &guard.component).is_none());
    assert!(state.plugins(Path::new("/elsewhere")).is_empty());
}

#[test]
fn versions_are_bounded_and_what_nobody_names_is_collected() {
    let home = Home::new();
    let state = home.open();
    for version in 0..20u8 {
        state.keep_config(&[version]);
        state.keep_plugin(&dir(), "guard", &[b'c', version], Some(&format!("order: {version}")), None);
    }
    let kept = state.plugins(&dir())["guard"].clone();
    assert_eq!(kept.good.len(), 3);
    assert_eq!(kept.good[0], Kept::of(&[b'c', 19], Some("order: 19")));
    // Three versions of two texts, and the configuration.
    assert_eq!(home.files("objects").len(), 7);
    state.prove_plugin(&dir(), "guard", &kept.good[0]);
    assert_eq!(state.plugins(&dir())["guard"].good, kept.good[..1]);
    assert_eq!(home.files("objects").len(), 3);
    state.forget_plugin(&dir(), "guard");
    assert_eq!(home.files("objects").len(), 1);
    assert!(state.good_config().is_some());
}

#[test]
fn a_rejected_version_is_not_the_last_good_one_again() {
    let home = Home::new();
    let state = home.open();
    state.keep_plugin(&dir(), "guard", b"one", None, None);
    state.keep_plugin(&dir(), "guard", b"two", None, None);
    let rejected = Rejected { version: Kept::of(b"two", None), why: "it failed".into() };
    state.reject_plugin(&dir(), "guard", rejected.clone());
    let kept = home.open().plugins(&dir())["guard"].clone();
    assert_eq!((kept.good, kept.rejected), (vec![Kept::of(b"one", None)], Some(rejected)));
    state.keep_plugin(&dir(), "guard", b"three", None, None);
    assert_eq!(state.plugins(&dir())["guard"].rejected, None);
}

#[test]
fn two_gateways_of_one_user_do_not_mix() {
    let home = Home::new();
    let one = home.open();
    let two = State::open(Some(&home.path()), &identity("/srv/sluice.yaml"));
    let other_dir = Identity::new(Some(Path::new("/etc/sluice.yaml")), Some(Path::new("/srv/plugins")));
    let three = State::open(Some(&home.path()), &other_dir);
    one.keep_config(b"one");
    two.keep_config(b"two");
    assert_eq!(one.good_config().unwrap(), b"one");
    assert_eq!(two.good_config().unwrap(), b"two");
    assert!(three.good_config().is_none());
    // What one of them lets go stays for the other.
    two.keep_plugin(&dir(), "guard", b"shared", None, None);
    one.keep_plugin(&dir(), "guard", b"shared", None, None);
    one.forget_plugin(&dir(), "guard");
    assert_eq!(two.object(&digest(b"shared")).unwrap(), b"shared");
}

/// Every file, cut at every length and with every byte altered, is as good as absent, and the next write mends it.
#[test]
fn torn_and_altered_files_count_as_absent() {
    let home = Home::new();
    let state = home.open();
    state.keep_config(b"providers: {}\n");
    state.keep_native(ENGINE, &digest(b"one"), b"native code");
    let of_engine = format!("compiled/{ENGINE}");
    let targets: Vec<PathBuf> =
        ["good", "objects", of_engine.as_str()].iter().flat_map(|part| home.files(part)).collect();
    assert_eq!(targets.len(), 3);
    let whole = || home.open().good_config().is_some() && state.native(ENGINE, &digest(b"one")).is_some();
    for path in targets {
        let bytes = fs::read(&path).unwrap();
        for cut in 0..bytes.len() {
            fs::write(&path, &bytes[..cut]).unwrap();
            assert!(!whole(), "{} cut to {cut} bytes", path.display());
        }
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 0x01;
            fs::write(&path, &altered).unwrap();
            assert!(!whole(), "{} altered at {at}: {}", path.display(), String::from_utf8_lossy(&altered));
        }
        fs::write(&path, b"").unwrap();
        state.keep_config(b"providers: {}\n");
        state.keep_native(ENGINE, &digest(b"one"), b"native code");
        assert!(whole(), "{} was not mended", path.display());
    }
}

#[test]
fn leftovers_of_killed_writers_are_swept_and_never_read() {
    let home = Home::new();
    let state = home.open();
    state.keep_native(ENGINE, &digest(b"one"), b"native");
    for part in ["objects", "good", &format!("compiled/{ENGINE}")] {
        fs::write(home.path().join(part).join(".new-leftover"), b"half").unwrap();
    }
    state.keep_config(b"a");
    state.keep_native(ENGINE, &digest(b"two"), b"native");
    for part in ["objects", "good", &format!("compiled/{ENGINE}")] {
        assert!(!home.path().join(part).join(".new-leftover").exists(), "{part}");
    }
}

#[test]
fn a_document_of_another_format_is_left_alone() {
    let home = Home::new();
    let state = home.open();
    state.keep_config(b"a");
    let foreign = home.path().join("good").join("ff.json");
    fs::write(&foreign, br#"{"format":2,"good":{"later":true}}"#).unwrap();
    let broken = home.path().join("good").join("ee.json");
    state.keep_config(b"b");
    assert!(foreign.exists() && home.files("objects").len() == 2, "nothing is collected beside it");
    fs::remove_file(&foreign).unwrap();
    fs::write(&broken, b"{").unwrap();
    state.keep_config(b"c");
    assert!(!broken.exists());
    assert_eq!(home.files("objects").len(), 1);
}

#[test]
fn a_folder_that_others_can_write_is_not_used() {
    for (part, mode) in
        [("", 0o777), ("", 0o720), ("", 0o702), ("objects", 0o777), ("good", 0o770), ("compiled", 0o707)]
    {
        let home = Home::new();
        drop(home.open());
        chmod(&home.path().join(part), mode);
        let why = folder::prepare(&home.path()).unwrap_err();
        assert!(why.contains("chmod 700"), "{why}");
        let state = home.open();
        assert!(state.folder().is_none());
        // It goes on without, and does no harm.
        state.keep_config(b"a");
        assert!(state.good_config().is_none() && home.files("objects").is_empty());
    }
}

#[test]
fn a_file_that_others_can_write_or_that_is_a_link_is_not_read() {
    let home = Home::new();
    let state = home.open();
    state.keep_config(b"a");
    state.keep_native(ENGINE, &digest(b"one"), b"native");
    let native = home.files(&format!("compiled/{ENGINE}")).remove(0);
    assert_eq!(fs::metadata(&native).unwrap().permissions().mode() & 0o777, 0o600);
    chmod(&native, 0o666);
    assert!(state.native(ENGINE, &digest(b"one")).is_none());
    chmod(&native, 0o600);
    assert!(state.native(ENGINE, &digest(b"one")).is_some());
    let aside = home.folder.path().join("aside");
    fs::rename(&native, &aside).unwrap();
    symlink(&aside, &native).unwrap();
    assert!(state.native(ENGINE, &digest(b"one")).is_none());
    fs::remove_file(&native).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&native).status().unwrap().success());
    assert!(state.native(ENGINE, &digest(b"one")).is_none(), "a pipe is not waited for");
}

#[test]
fn a_linked_folder_is_judged_by_where_it_leads() {
    let home = Home::new();
    let real = home.folder.path().join("real");
    fs::create_dir(&real).unwrap();
    chmod(&real, 0o700);
    symlink(&real, home.path()).unwrap();
    let state = home.open();
    assert_eq!(state.folder().unwrap(), fs::canonicalize(&real).unwrap());
    state.keep_config(b"a");
    assert_eq!(home.open().good_config().unwrap(), b"a");
    chmod(&real, 0o777);
    assert!(home.open().folder().is_none());
    fs::remove_file(home.path()).unwrap();
    symlink(home.folder.path().join("nowhere"), home.path()).unwrap();
    assert!(home.open().folder().is_none());
}

#[test]
fn a_folder_of_another_user_is_not_used() {
    let home = Home::new();
    fs::create_dir(home.path()).unwrap();
    // Only the superuser can give folders away; everyone else has the system's to look at.
    let foreign =
        if std::os::unix::fs::chown(home.path(), Some(12_345), None).is_ok() { home.path() } else { "/usr".into() };
    let why = folder::prepare(&foreign).unwrap_err();
    assert!(why.contains("another user") || why.contains("cannot be made"), "{why}");
}

#[test]
fn concurrent_writers_lose_nothing() {
    const WRITERS: u8 = 6;
    const ROUNDS: u8 = 12;
    let home = Home::new();
    drop(home.open());
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let home = &home;
            // Each with a state of its own, as processes have.
            scope.spawn(move || {
                let state = home.open();
                for round in 0..ROUNDS {
                    state.keep_plugin(&dir(), &format!("p{writer}"), &[writer, round], None, None);
                    state.keep_native(ENGINE, &digest(&[writer, round]), &[writer; 100]);
                    let seen = state.plugins(&dir())[&format!("p{writer}")].clone();
                    assert_eq!(state.object(&seen.good[0].component).unwrap(), [writer, round]);
                }
            });
        }
    });
    let plugins = home.open().plugins(&dir());
    assert_eq!(plugins.len(), usize::from(WRITERS));
    for (writer, kept) in (0..WRITERS).zip(plugins.values()) {
        assert_eq!(kept.good[0], Kept::of(&[writer, ROUNDS - 1], None));
    }
    assert!(home.files(&format!("compiled/{ENGINE}")).len() <= 64);
}

#[test]
fn compiled_code_is_bounded_and_old_engines_go() {
    let home = Home::new();
    let state = home.open();
    for number in 0..70u8 {
        state.keep_native(ENGINE, &digest(&[number]), b"native");
        // What is in use stays, however long ago it was made.
        assert!(state.native(ENGINE, &digest(&[0])).is_some(), "{number}");
        std::thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(home.files(&format!("compiled/{ENGINE}")).len(), 64);
    assert!(state.native(ENGINE, &digest(&[1])).is_none());
    for engine in ["second", "third", "fourth"] {
        state.keep_native(engine, &digest(b"one"), b"native");
        std::thread::sleep(Duration::from_millis(2));
    }
    let left: Vec<_> = home.files("compiled").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(left, ["fourth", "third"]);
    state.keep_native("../elsewhere", &digest(b"one"), b"native");
    assert!(!home.path().join("elsewhere").exists());
}

#[test]
fn gateways_long_gone_are_let_go() {
    let home = Home::new();
    let config = home.folder.path().join("sluice.yaml");
    fs::write(&config, "").unwrap();
    let there = State::open(Some(&home.path()), &Identity::new(Some(&config), None));
    there.keep_config(b"there");
    for number in 0..80 {
        State::open(Some(&home.path()), &identity(&format!("/gone/{number}.yaml"))).keep_config(b"gone");
    }
    assert!(home.files("good").len() <= 65, "{}", home.files("good").len());
    assert_eq!(there.good_config().unwrap(), b"there");
}
