//! `enable` applies the default directory.

use portkeep_tests::{Protocol, Sandbox};

use crate::common::kernel_part::assert_kept;
use crate::common::persistent::{assert_agreed, enable, listed, stored_ports};
use crate::common::{done, outcome, portkeep};
use crate::scene::{declare, directory};

pub fn enable_applies_the_default_directory(sandbox: &Sandbox) {
    declare(sandbox, "a.toml", &["reserve 20000-20003/tcp root"]);
    enable();
    assert_eq!(listed(), ["20000-20003/tcp persistent consumers root"]);
    // As after a boot: the kernel has nothing, and the files say something else.
    done(&mut portkeep(["disable"]));
    declare(sandbox, "a.toml", &["reserve 20002-20009/tcp"]);
    enable();
    assert_eq!(listed(), ["20002-20009/tcp persistent associated"]);
    assert_kept(Protocol::Tcp, 20002..=20009);
    assert_agreed();
    std::fs::remove_dir_all(directory(sandbox)).expect("remove the directory");
    enable();
    assert_eq!(listed(), [] as [&str; 0]);
}

pub fn enable_restores_beside_a_broken_file(sandbox: &Sandbox) {
    declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    enable();
    done(&mut portkeep(["reserve", "20001/tcp"]));
    done(&mut portkeep(["disable"]));
    let path = declare(
        sandbox,
        "b.toml",
        &["reserve 20002/tcp", "reserve 20001/tcp root"],
    );
    let said = outcome(&mut portkeep(["enable"]));
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.stderr.contains(&format!("{}:5", path.display())),
        "{said:?}"
    );
    assert_eq!(stored_ports(sandbox).len(), 2);
    assert_eq!(listed().len(), 2);
    assert_agreed();
}

/// As those of a directory service, which needs the network.
pub fn users_may_come_later(sandbox: &Sandbox) {
    declare(sandbox, "a.toml", &["reserve 20000/tcp nobody-such"]);
    let said = outcome(&mut portkeep(["enable"]));
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.stderr.contains("there is no user nobody-such"),
        "{said:?}"
    );
    assert_kept(Protocol::Tcp, 20000..=20000);
}

pub fn doctor_tells_what_is_not_applied(sandbox: &Sandbox) {
    enable();
    let line = || {
        let said = outcome(&mut portkeep(["doctor"]));
        let mut lines = said.stdout.lines();
        lines
            .find(|line| line.contains(" declarations "))
            .map(str::to_owned)
    };
    assert_eq!(line(), None);
    let path = declare(sandbox, "a.toml", &["reserve 20000/tcp root"]);
    let said = line().expect("a line");
    assert!(
        said.starts_with("warning") && said.contains("1 change"),
        "{said}"
    );
    enable();
    let said = line().expect("a line");
    assert!(said.starts_with("ok") && said.contains("1 entry"), "{said}");
    std::fs::write(path, "nonsense").expect("write");
    let said = line().expect("a line");
    assert!(
        said.starts_with("wrong") && said.contains("a.toml"),
        "{said}"
    );
}
