//! Takes the fenced blocks out of documents and runs them: in a shell, with the built `sluice` on the path, as a reader would.

use std::path::{Path, PathBuf};
use std::process::Command;

use sluice_tests::gateway::binary;
use tempfile::TempDir;

use crate::python_client::root;

/// One fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// The word behind the fence: `sh`, `rust`, ...
    pub(crate) kind: String,
    pub(crate) text: String,
    /// Of the fence, from 1.
    pub(crate) line: usize,
}

pub(crate) fn blocks(file: &Path) -> Vec<Block> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut out = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(""), Some(block)) => out.push(block),
            (Some(kind), None) if !kind.is_empty() => {
                open = Some(Block { kind: kind.to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), _) => panic!("{}:{}: a fence out of place", file.display(), number + 1),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                block.text.push('\n');
                open = Some(block);
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "{}: the last fence is open", file.display());
    out
}

/// The repository's documents, without what was built or installed.
pub(crate) fn markdown_files(folder: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        let skipped = |name: &str| name.starts_with(".venv") || ["target", ".git", "node_modules"].contains(&name);
        if path.is_dir() && name.to_str().is_some_and(|name| !skipped(name)) {
            out.extend(markdown_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            out.push(path);
        }
    }
    out
}

/// The path in a block's first line (`// src/lib.rs`, `# plugins/x.yaml`), which says where the block goes.
pub(crate) fn place(block: &Block) -> Option<&str> {
    let first = block.text.lines().next()?;
    first
        .strip_prefix("// ")
        .or_else(|| first.strip_prefix("# "))
        .filter(|path| path.contains('/') && !path.contains(' '))
}

/// Writes a block to the file that its first line names.
pub(crate) fn pasted(folder: &Path, block: &Block) {
    let path = folder.join(place(block).unwrap_or_else(|| panic!("the block of line {} names no file", block.line)));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, &block.text).unwrap();
}

/// Runs shell lines that must all succeed, with `sluice` on the path and none of this machine's provider keys; gives standard output.
#[track_caller]
pub(crate) fn shell(script: &str, folder: &Path, env: &[(&str, &str)]) -> String {
    let mut command = Command::new("sh");
    command.arg("-ec").arg(script).current_dir(folder);
    command.env("PATH", path()).env_remove("OPENAI_API_KEY").env_remove("MAKEFLAGS").env_remove("MAKELEVEL");
    // The crates that the workspace was built with are on this machine, and tests do not go elsewhere.
    command.env("CARGO_NET_OFFLINE", "true").env_remove("CARGO_TARGET_DIR").env("CARGO_TERM_COLOR", "never");
    for name in ["CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS", "CARGO_BUILD_TARGET", "CARGO_BUILD_TARGET_DIR"] {
        command.env_remove(name);
    }
    command.envs(env.iter().copied());
    let output = command.output().expect("sh");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{script}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// `PATH` with the folder of the built program in front.
fn path() -> std::ffi::OsString {
    let mut folders = vec![binary().parent().expect("a folder").to_owned()];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    std::env::join_paths(folders).expect("a path")
}

/// A clean folder far from the repository, with `target/release/sluice` where README's commands expect it.
pub(crate) fn sluice_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("target/release")).unwrap();
    std::os::unix::fs::symlink(binary(), folder.path().join("target/release/sluice")).unwrap();
    folder
}

/// A project that `sluice plugin new` made, built in a folder that all tests share: its crates are compiled once.
#[derive(Debug)]
pub(crate) struct Project {
    pub(crate) folder: PathBuf,
}

impl Project {
    pub(crate) fn at(folder: &Path) -> Project {
        let shared = root().join("target/projects");
        std::fs::create_dir_all(&shared).unwrap();
        std::os::unix::fs::symlink(shared, folder.join("target")).unwrap();
        Project { folder: folder.to_owned() }
    }

    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        shell(script, &self.folder, &[])
    }
}
