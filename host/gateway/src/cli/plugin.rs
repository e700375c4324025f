//! `sluice plugin`: a new project from the template inside this binary, and a look into a finished component.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

mod template;

/// Names that make no crate: the language's own words, and crates that every project has under that name already.
const TAKEN: &[&str] = &[
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "alloc",
    "core",
    "proc-macro",
    "std",
    "test",
    "serde",
    "serde-json",
    "sluice",
    "sluice-sdk",
    "wit-bindgen",
];

/// Writes the project; never over anything that is there.
pub fn new(name: &str) -> ExitCode {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty()
        || name.len() > 64
        || !name.chars().all(plain)
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
    {
        eprintln!("`{name}` cannot be a plugin's name: use lower-case letters, digits and dashes, a letter first");
        return ExitCode::from(2);
    }
    if TAKEN.contains(&name) {
        eprintln!("`{name}` cannot be a plugin's name: it would make a crate that Rust or the project has already");
        return ExitCode::from(2);
    }
    let folder = Path::new(name);
    // A dangling link is there too, and writing would follow it.
    if folder.symlink_metadata().is_ok() {
        eprintln!("`{name}` is already there");
        return ExitCode::from(2);
    }
    for (path, text) in template::files(name) {
        let path = folder.join(path);
        let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
        if let Err(error) = written {
            eprintln!("{} cannot be written: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    println!("{name}/ is ready. Next:");
    println!("  cd {name}");
    println!("  cargo test");
    println!("  cargo build --release --target wasm32-wasip2");
    ExitCode::SUCCESS
}

/// One wanted grant, with the line that gives it.
fn grant(wanted: &sluice_sandbox::WantedGrant) {
    let need = if wanted.optional { "optional" } else { "waits for it" };
    let reason = if wanted.reason.is_empty() { "no reason given" } else { &wanted.reason };
    println!("grants:    {} ({need}): {reason}; to allow it: grants: {{ {}: {{}} }}", wanted.name, wanted.name);
}

/// Says what a file is. Exits 1 if it would not load.
pub fn check(file: &Path) -> ExitCode {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            eprintln!("{} cannot be read: {error}", file.display());
            return ExitCode::from(2);
        }
    };
    let seen = match sluice_sandbox::inspect(&bytes) {
        Ok(seen) => seen,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    println!("file:      {}", file.display());
    println!("digest:    {}", seen.digest);
    println!("size:      {} bytes", seen.size);
    println!("world:     sluice:plugin@{}", sluice_sandbox::INTERFACE_VERSION);
    println!("hooks:     {}", if seen.hooks.is_empty() { "none".to_owned() } else { seen.hooks.to_string() });
    match &seen.manifest {
        Some(manifest) => println!("manifest:  {} {}", manifest.name, manifest.version),
        None => println!("manifest:  {}", if seen.has_about { "cannot be read" } else { "none" }),
    }
    println!("settings:  {}", if seen.has_lifecycle { "yes, by configure" } else { "not read" });
    println!("imports:   {}", list(&seen.imports));
    println!("exports:   {}", list(&seen.exports));
    println!("wasi:      {}", if seen.uses_wasi { "yes, empty: clocks and randomness only" } else { "no" });
    match seen.manifest.as_ref().map(|manifest| manifest.grants.as_slice()) {
        None => println!("grants:    not known, it says nothing of itself"),
        Some([]) => println!("grants:    none needed"),
        Some(wanted) => wanted.iter().for_each(grant),
    }
    match seen.problem {
        None => {
            println!("loads:     yes");
            ExitCode::SUCCESS
        }
        Some(problem) => {
            println!("loads:     no");
            eprintln!("{}: {problem}", problem.kind.as_str());
            ExitCode::FAILURE
        }
    }
}
