//! Tells the linker where the memory of the emulated machine is.

use std::path::Path;
use std::{env, fs};

fn main() {
    let [flash, ram] = match env::var("TARGET").as_deref() {
        // microbit: the first one, with a Cortex-M0
        Ok("thumbv6m-none-eabi") => ["0x00000000, LENGTH = 256K", "0x20000000, LENGTH = 16K"],
        // mps2-an505, with a Cortex-M33
        Ok("thumbv8m.main-none-eabihf") => ["0x10000000, LENGTH = 4M", "0x38000000, LENGTH = 4M"],
        // mps2-an386, with a Cortex-M4
        _ => ["0x00000000, LENGTH = 4M", "0x20000000, LENGTH = 4M"],
    };
    let folder = env::var("OUT_DIR").unwrap();
    let map = format!("MEMORY {{ FLASH : ORIGIN = {flash}\n RAM : ORIGIN = {ram} }}\n");
    fs::write(Path::new(&folder).join("memory.x"), map).unwrap();
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-link-search={folder}");
    for argument in ["--nmagic", "-Tlink.x"] {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}
