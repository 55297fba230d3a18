//! Where the linker finds its scripts.

fn main() {
    println!(
        "cargo:rustc-link-search={}",
        std::fs::canonicalize("../machines/mps2-an386").unwrap().display()
    );
    println!("cargo:rustc-link-arg=-Tlink.x");
}
