//! Where the linker finds its scripts.

fn main() {
    println!("cargo:rustc-link-search={}", std::fs::canonicalize("..").unwrap().display());
    println!("cargo:rustc-link-arg=-Tlink.x");
}
