//! Gives the shared library its versioned name.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Its thread may be anywhere in it.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libportkeep-winsock.so.0");
}
