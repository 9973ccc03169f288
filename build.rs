//! Has the linker lay a release build out so that a run with nothing to do maps little of it; `layout/record` says why.

use std::env;
use std::path::Path;

/// Linkers that understand no script, by what names them on the command line or in the environment.
const WITHOUT_SCRIPTS: [&str; 3] = ["mold", "gold", "wild"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=layout/noop.ld");
    println!("cargo:rerun-if-env-changed=MAILSYNC_LAYOUT");
    let var = |name: &str| env::var(name).unwrap_or_default();
    if var("PROFILE") != "release" || var("CARGO_CFG_TARGET_OS") != "linux" || var("MAILSYNC_LAYOUT") == "no" {
        return;
    }
    let linker = [var("RUSTC_LINKER"), var("CARGO_ENCODED_RUSTFLAGS")].concat();
    if !WITHOUT_SCRIPTS.iter().any(|name| linker.contains(name)) {
        let script = Path::new(&var("CARGO_MANIFEST_DIR")).join("layout/noop.ld");
        println!("cargo:rustc-link-arg-bin=mailsync=-T{}", script.display());
    }
    // Relocations in a twentieth of the room. The loader of an older library does not know them; what is built here may
    // need the library of here.
    if var("TARGET") == var("HOST") && var("CARGO_CFG_TARGET_ENV") == "gnu" && glibc() >= (2, 36) {
        println!("cargo:rustc-link-arg-bin=mailsync=-Wl,-z,pack-relative-relocs");
    }
}

/// The version of the C library that this script runs with.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn glibc() -> (u32, u32) {
    use std::ffi::{CStr, c_char};
    unsafe extern "C" {
        fn gnu_get_libc_version() -> *const c_char;
    }
    // SAFETY: it takes nothing and returns a string that is never freed.
    let version = unsafe { CStr::from_ptr(gnu_get_libc_version()) }.to_string_lossy();
    let mut numbers = version.split('.').map_while(|number| number.parse().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn glibc() -> (u32, u32) {
    (0, 0)
}
