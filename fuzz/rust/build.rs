//! Links the targets with clang's libFuzzer, which has their `main`.

fn main() {
    let library = std::env::var("FUZZER").expect("FUZZER, libclang_rt.fuzzer-*.a; see fuzz/run");
    println!("cargo:rerun-if-env-changed=FUZZER");
    println!("cargo:rustc-link-arg-bins={library}");
    println!("cargo:rustc-link-arg-bins=-lstdc++");
}
