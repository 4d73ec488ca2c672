//! Other ways to the library than pkg-config: Windows' names for it, and CMake.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::installed::prefix;
use crate::program::{assert_passed, command, output, sources};

fn scratch(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

#[track_caller]
fn runs(program: &Path) {
    let printed = output(command(program).arg("one"));
    assert_passed("main", &printed);
    assert_eq!(String::from_utf8_lossy(&printed.stdout), "2 one 10093\n");
}

/// `-lws2_32 -liphlpapi` alone, as build systems of Windows' programs have it.
pub(crate) fn by_the_names_on_windows() {
    let program = scratch("winsock-by-name");
    let (include, lib) = (
        prefix().join("include/portkeep-winsock"),
        prefix().join("lib"),
    );
    for compiler in ["gcc", "clang"] {
        for flags in [&[][..], &["-DUNICODE", "-D_UNICODE"], &["-static"]] {
            let made = output(
                Command::new(compiler)
                    .args(flags)
                    .arg("-I")
                    .arg(&include)
                    .arg("-o")
                    .arg(&program)
                    .arg(sources().join("main.c"))
                    .arg("-L")
                    .arg(&lib)
                    .args(["-lws2_32", "-liphlpapi"]),
            );
            let said = String::from_utf8_lossy(&made.stderr);
            // A static program is warned of the C library's shared files.
            assert!(
                made.status.success() && (said.is_empty() || flags == ["-static"]),
                "{compiler} {flags:?}: {said}"
            );
            runs(&program);
        }
    }
}

const PROJECT: &str = "\
cmake_minimum_required(VERSION 3.16)
project(program C)
find_package(portkeep-winsock 0.1 REQUIRED)
add_executable(one main.c)
target_link_libraries(one PRIVATE portkeep-winsock::portkeep-winsock)
add_executable(other main.c)
target_link_libraries(other PRIVATE portkeep-winsock::ws2_32 portkeep-winsock::iphlpapi)
";

pub(crate) fn by_cmake() {
    let project = scratch("winsock-cmake");
    let _ = fs::remove_dir_all(&project);
    fs::create_dir_all(&project).expect("make a directory");
    fs::write(project.join("CMakeLists.txt"), PROJECT).expect("write the project");
    fs::copy(sources().join("main.c"), project.join("main.c")).expect("copy the program");
    let build = project.join("build");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(&project).arg("-B").arg(&build);
    configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display()));
    assert_passed("cmake", &output(&mut configure));
    assert_passed(
        "cmake",
        &output(Command::new("cmake").arg("--build").arg(&build)),
    );
    for name in ["one", "other"] {
        runs(&build.join(name));
    }
}
