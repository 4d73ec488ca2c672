//! What the kernel must be able to do. Each feature is tried out, never guessed from the kernel's
//! version: distributions carry features back, and configurations leave them out.

use std::path::Path;

use libbpf_rs::btf::{Btf, types::Func};
use libbpf_rs::{MapType, ProgramType, libbpf_sys};

use crate::error::{Error, ErrorKind};
use crate::install::{object, sys};

/// One thing that the kernel part needs.
struct Need {
    name: &'static str,
    since: &'static str,
    present: fn() -> bool,
}

/// Something that the kernel part needs of the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Feature {
    /// In words.
    pub name: &'static str,
    /// The first mainline version of Linux that has it.
    pub since: &'static str,
    /// Whether the running kernel has it.
    pub is_present: bool,
}

/// Whether the kernel's type information has a function of this name.
fn kernel_has_function(name: &str) -> bool {
    Btf::from_vmlinux().is_ok_and(|btf| btf.type_by_name::<Func<'_>>(name).is_some())
}

fn helper(program: ProgramType, helper: libbpf_sys::bpf_func_id) -> bool {
    program.is_helper_supported(helper).unwrap_or(false)
}

const NEEDS: &[Need] = &[
    Need {
        name: "type information of the running kernel (CONFIG_DEBUG_INFO_BTF)",
        since: "5.4",
        present: || Path::new("/sys/kernel/btf/vmlinux").exists(),
    },
    Need {
        name: "BPF programs on socket options of a cgroup (CONFIG_CGROUP_BPF)",
        since: "5.3",
        present: || ProgramType::CgroupSockopt.is_supported().unwrap_or(false),
    },
    Need {
        name: "BPF programs on bind in a cgroup (CONFIG_CGROUP_BPF)",
        since: "4.17",
        present: || ProgramType::CgroupSockAddr.is_supported().unwrap_or(false),
    },
    Need {
        name: "the helper bpf_bind() for connect in a cgroup",
        since: "4.17",
        present: || helper(ProgramType::CgroupSockAddr, libbpf_sys::BPF_FUNC_bind),
    },
    Need {
        name: "BPF storage in sockets",
        since: "5.2",
        present: || MapType::SkStorage.is_supported().unwrap_or(false),
    },
    Need {
        name: "BPF iterators over maps",
        since: "5.8",
        present: || kernel_has_function("bpf_iter_bpf_map_elem"),
    },
    Need {
        name: "the helper bpf_get_netns_cookie() for socket options",
        since: "5.15",
        present: || {
            helper(
                ProgramType::CgroupSockopt,
                libbpf_sys::BPF_FUNC_get_netns_cookie,
            )
        },
    },
    Need {
        name: "the helper bpf_for_each_map_elem()",
        since: "5.13",
        present: || {
            helper(
                ProgramType::CgroupSockopt,
                libbpf_sys::BPF_FUNC_for_each_map_elem,
            )
        },
    },
    Need {
        name: "the helper bpf_loop()",
        since: "5.17",
        present: || helper(ProgramType::CgroupSockopt, libbpf_sys::BPF_FUNC_loop),
    },
    Need {
        name: "the helper bpf_set_retval() for socket options",
        since: "5.18",
        present: || helper(ProgramType::CgroupSockopt, libbpf_sys::BPF_FUNC_set_retval),
    },
    Need {
        name: "the helper bpf_set_retval() for bind",
        since: "6.1",
        present: || helper(ProgramType::CgroupSockAddr, libbpf_sys::BPF_FUNC_set_retval),
    },
];

/// Fails for a caller who may not load BPF programs; without that no feature can be tried out.
pub fn require_privilege() -> Result<(), Error> {
    match sys::require_bpf_privilege() {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES)) => {
            Err(Error::system("handling the kernel part", error))
        }
        // What else can be wrong, the features tell better.
        _ => Ok(()),
    }
}

/// What the kernel part needs of the kernel, each tried out.
///
/// # Errors
///
/// [`ErrorKind::NotPermitted`]: without privilege nothing can be tried.
pub fn features() -> Result<Vec<Feature>, Error> {
    object::keep_log();
    require_privilege()?;
    let tried = |need: &Need| Feature {
        name: need.name,
        since: need.since,
        is_present: (need.present)(),
    };
    Ok(NEEDS.iter().map(tried).collect())
}

/// Fails, naming the first feature that the kernel lacks.
pub fn require_all() -> Result<(), Error> {
    require(NEEDS)
}

fn require(needs: &[Need]) -> Result<(), Error> {
    match needs.iter().find(|need| !(need.present)()) {
        None => Ok(()),
        Some(missing) => Err(Error::new(
            ErrorKind::MissingFeature,
            format!(
                "this kernel lacks {} (since Linux {})",
                missing.name, missing.since
            ),
        )
        .with_hint("Linux 6.1 or later with BTF has everything; distributions ship such kernels")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_feature_is_named_with_its_version() {
        let needs = [
            Need {
                name: "one",
                since: "5.1",
                present: || true,
            },
            Need {
                name: "the other",
                since: "7.2",
                present: || false,
            },
        ];
        require(&needs[..1]).expect("present");
        let error = require(&needs).expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::MissingFeature);
        assert_eq!(
            error.to_string(),
            "this kernel lacks the other (since Linux 7.2)"
        );
    }
}
