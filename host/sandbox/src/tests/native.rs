//! Compiled code that is kept and comes back: the same plugin, and never the code of another file.

use std::time::Instant;

use super::guests::{described, echoing, passing};
use super::probe::Probe;
use super::{SANDBOX, block_on, compile, spec};
use crate::{Config, LoadErrorKind, RequestVerdict, Sandbox};

/// What a component's own code gives back.
fn revived(
    sandbox: &Sandbox,
    wasm: &[u8],
    native: &[u8],
) -> Result<std::sync::Arc<crate::Component>, crate::LoadError> {
    // SAFETY: every test hands over what `native` returned, whole or with its beginning changed.
    unsafe { sandbox.compile_from(wasm, native) }
}

#[test]
fn compiled_code_comes_back_as_the_same_plugin() {
    let wasm = described(r#"{"name":"kept","version":"1.2.3"}"#);
    let began = Instant::now();
    let compiled = compile(&wasm);
    let compiling = began.elapsed();
    let native = compiled.native().unwrap();
    let other = Sandbox::new(Config { max_instances: 2, ..Config::default() }).unwrap();
    for sandbox in [&*SANDBOX, &other] {
        let began = Instant::now();
        let component = revived(sandbox, &wasm, &native).unwrap();
        println!("compiled in {compiling:?}, back in {:?}, {} bytes", began.elapsed(), native.len());
        assert_eq!((component.digest(), component.size()), (compiled.digest(), compiled.size()));
        assert_eq!(component.exports(), compiled.exports());
        assert_eq!(component.native().unwrap(), native);
        block_on(async {
            let plugin = sandbox.load(component, spec("kept")).await.unwrap();
            assert_eq!(plugin.manifest().version, "1.2.3");
            assert_eq!(plugin.on_request(Probe::new(0)).await.result.unwrap(), RequestVerdict::Pass);
        });
    }
}

#[test]
fn code_of_another_file_is_refused() {
    let native = compile(&passing()).native().unwrap();
    let refused = |wasm: &[u8], native: &[u8]| revived(&SANDBOX, wasm, native).err().expect("it is refused");
    for (wasm, native) in [(echoing(), native.clone()), (passing(), native[1..].to_vec()), (passing(), Vec::new())] {
        let error = refused(&wasm, &native);
        assert_eq!(error.kind, LoadErrorKind::Invalid, "{error}");
        assert!(error.message.contains("another file"), "{error}");
    }
    let no_code = native[..71].to_vec();
    assert_eq!(refused(&passing(), &no_code).kind, LoadErrorKind::Invalid);
    assert_eq!(refused(b"garbage", &native).kind, LoadErrorKind::NotComponent);
}

#[test]
fn the_key_names_what_code_depends_on() {
    let key = SANDBOX.engine_key();
    assert!(key.len() > 32 && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{key}");
    assert_eq!(Sandbox::new(Config { max_instances: 3, ..Config::default() }).unwrap().engine_key(), key);
    let mut wider = wasmtime::Config::new();
    wider.wasm_memory64(true);
    let other = crate::engine::key(&wasmtime::Engine::new(&wider).unwrap());
    assert_ne!(other, key);
}
