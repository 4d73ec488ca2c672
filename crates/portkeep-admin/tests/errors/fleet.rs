use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use portkeep::{Consumer, PortRange};
use portkeep_admin::{
    Declared, ErrorKind, FindSockets, FleetRequest, FleetTag, FoundSockets, InTheWay, Keeper, Kind,
    Stranger, UnknownNames,
};
use portkeep_tests::libc::EADDRINUSE;
use portkeep_tests::ports::probe_free;
use portkeep_tests::{Protocol, Sandbox, assert_ok, enable, proc, sock};

use crate::keeper::{keeper, ranges, refused, request};

fn policy(id: &str, ports: &[&str], consumers: &[&str]) -> FleetRequest {
    FleetRequest {
        tag: FleetTag {
            fleet: "prod".to_owned(),
            id: id.to_owned(),
            generation: 1,
            grant: false,
        },
        ports: ranges(ports),
        consumers: consumers.iter().map(|it| (*it).to_owned()).collect(),
        comment: None,
    }
}

fn grant(id: &str, ports: &[&str]) -> FleetRequest {
    let mut grant = policy(id, ports, &[]);
    grant.tag.grant = true;
    grant
}

/// Notes and creates; all of it has to succeed.
#[track_caller]
fn make(keeper: &Keeper, requests: &[FleetRequest]) {
    let all: Vec<Result<(), Vec<_>>> = requests.iter().map(|_| Ok(())).collect();
    assert_eq!(keeper.note_for_fleet(requests).expect("note"), all);
    let created = keeper.create_for_fleet(requests, None).expect("create");
    assert_eq!(created, all);
}

fn tags(requests: &[FleetRequest]) -> Vec<FleetTag> {
    requests.iter().map(|it| it.tag.clone()).collect()
}

fn in_kernel() -> Vec<String> {
    let list = portkeep::list().expect("list");
    let mut ranges: Vec<_> = list.iter().map(|entry| entry.range.to_string()).collect();
    ranges.sort();
    ranges
}

fn store(sandbox: &Sandbox) -> PathBuf {
    sandbox.state_dir().join("reservations.toml")
}

fn grants(sandbox: &Sandbox) -> PathBuf {
    sandbox.state_dir().join("run/fleet.toml")
}

fn version(file: &Path) -> String {
    let text = fs::read_to_string(file).expect("read");
    let line = text.lines().find(|line| line.starts_with("version"));
    line.expect("a version").to_owned()
}

/// The file's version rises only while it has such lines.
pub fn a_policy_from_its_note_to_its_end(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let keeper = keeper(sandbox);
    keeper
        .reserve(&request(&["20000/tcp"]), None)
        .expect("reserve");
    assert_eq!(version(&store(sandbox)), "version = 1");
    let wanted = [
        policy(
            "rtp",
            &["40000-40003/udp", "40010/tcp"],
            &["user root", "cgroup web.service"],
        ),
        policy("nodes", &["30000-30009/tcp"], &["everybody"]),
    ];
    keeper.note_for_fleet(&wanted).expect("note");
    assert_eq!(version(&store(sandbox)), "version = 3");
    assert_eq!(in_kernel(), ["20000/tcp"]);
    assert!(
        keeper
            .fleet_entries()
            .expect("list")
            .iter()
            .all(|it| !it.enforced)
    );
    keeper.create_for_fleet(&wanted, None).expect("create");
    assert_eq!(
        in_kernel(),
        [
            "20000/tcp",
            "30000-30009/tcp",
            "40000-40003/udp",
            "40010/tcp"
        ]
    );
    let entries = keeper.fleet_entries().expect("list");
    assert_eq!(entries.len(), 2);
    for (entry, wanted) in entries.iter().rev().zip(&wanted) {
        assert_eq!(
            (&entry.tag, &entry.consumers),
            (&wanted.tag, &wanted.consumers)
        );
        assert!(entry.enforced);
    }
    let protected = portkeep_admin::sysctl::protected_ports().expect("read");
    assert!(protected.contains(40003) && protected.contains(40010));
    // Again changes nothing, and neither does a restore.
    make(&keeper, &wanted);
    let text = fs::read_to_string(store(sandbox)).expect("read");
    assert_eq!(keeper.restore(None).expect("restore").differences, []);
    assert_eq!(fs::read_to_string(store(sandbox)).expect("read"), text);

    keeper.delete_for_fleet(&tags(&wanted)).expect("delete");
    assert_eq!(in_kernel(), ["20000/tcp"]);
    assert_eq!(version(&store(sandbox)), "version = 3");
    keeper.erase_for_fleet(&tags(&wanted)).expect("erase");
    assert_eq!(version(&store(sandbox)), "version = 1");
    assert_eq!(keeper.differences().expect("compare"), []);
    assert_eq!(keeper.fleet_entries().expect("list"), []);
    assert!(
        portkeep_admin::sysctl::protected_ports()
            .expect("read")
            .is_empty()
    );
    assert_eq!(probe_free(Protocol::Udp, 40000..=40003), []);
}

/// What a boot restores, and in the kernel what a boot ends.
pub fn a_boot(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let keeper = keeper(sandbox);
    let wanted = [
        policy("rtp", &["40000-40003/udp"], &["user root"]),
        grant("g1", &["61000-61001/tcp"]),
    ];
    make(&keeper, &wanted);
    assert_eq!(in_kernel(), ["40000-40003/udp", "61000-61001/tcp"]);
    // Not taken for somebody else's: the store would keep it for ever.
    let report = keeper.restore(None).expect("restore");
    assert_eq!((report.reservations, report.differences.len()), (1, 0));
    let text = fs::read_to_string(store(sandbox)).expect("read");
    assert!(!text.contains("61000"), "{text}");
    // As the kernel part is after it was taken out and put back.
    portkeep_admin::remove(&enable::installation(sandbox)).expect("remove");
    enable::enable(sandbox);
    let report = keeper.restore(None).expect("restore");
    assert_eq!(report.failures.len(), 0);
    assert_eq!(in_kernel(), ["40000-40003/udp"]);
    let entries = keeper.fleet_entries().expect("list");
    let enforced: Vec<_> = entries
        .iter()
        .map(|it| (it.tag.grant, it.enforced))
        .collect();
    assert_eq!(enforced, [(true, false), (false, true)]);
    // The file may be on a disk: those of an earlier boot are none.
    let of_earlier = fs::read_to_string(grants(sandbox)).expect("read");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("read");
    let of_earlier = of_earlier.replace(boot.trim(), "6f1c");
    fs::write(grants(sandbox), of_earlier).expect("write");
    assert_eq!(keeper.fleet_entries().expect("list").len(), 1);
}

/// Who is let in, and nobody else, also of the same user.
pub fn a_grant_is_closed_until_a_cgroup_is_let_in(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let keeper = keeper(sandbox);
    let wanted = [grant("g1", &["61000-61001/tcp", "61000-61001/udp"])];
    let files = [store(sandbox), sandbox.state_dir().join("notes.toml")];
    keeper
        .reserve(&request(&["20000/tcp"]), None)
        .expect("reserve");
    let written = || {
        files
            .clone()
            .map(|file| fs::metadata(file).expect("a file").ino())
    };
    let before = written();
    make(&keeper, &wanted);
    let bind = || {
        let taken = sock::bind_any(sock::tcp4(), 61001);
        taken
            .and(sock::bind_any(sock::udp4(), 61000))
            .err()
            .unwrap_or(0)
    };
    let job = sandbox.inside_cgroup().join("job");
    let other = sandbox.inside_cgroup().join("other");
    for cgroup in [&job, &other] {
        fs::create_dir(cgroup).expect("make a cgroup");
        assert_eq!(proc::in_cgroup(cgroup, bind), EADDRINUSE);
    }
    let id = fs::metadata(&job).expect("a cgroup").ino();
    let admit = || keeper.admit_for_fleet(&wanted[0].tag, &[Consumer::Cgroup(id)]);
    admit().expect("admit");
    admit().expect("admit again");
    assert_eq!(proc::in_cgroup(&job, bind), 0);
    assert_eq!(proc::in_cgroup(&other, bind), EADDRINUSE);
    // A repeated create, as after a crash of the agent, keeps them.
    make(&keeper, &wanted);
    assert_eq!(proc::in_cgroup(&job, bind), 0);
    keeper.delete_for_fleet(&tags(&wanted)).expect("delete");
    keeper.erase_for_fleet(&tags(&wanted)).expect("erase");
    assert_eq!(written(), before, "a grant costs no write to the disk");
    assert_eq!(proc::in_cgroup(&other, bind), 0);
    refused(admit(), ErrorKind::UnknownName);
}

/// A ninth cgroup gets the place of one that is gone, or is refused.
pub fn as_many_cgroups_as_there_is_room_for(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let keeper = keeper(sandbox);
    let wanted = [grant("g1", &["61000/tcp"])];
    make(&keeper, &wanted);
    let cgroup = |index: usize| sandbox.inside_cgroup().join(format!("task-{index}"));
    let admit = |index: usize| {
        fs::create_dir(cgroup(index)).expect("make a cgroup");
        let id = fs::metadata(cgroup(index)).expect("a cgroup").ino();
        keeper.admit_for_fleet(&wanted[0].tag, &[Consumer::Cgroup(id)])
    };
    for index in 0..8 {
        admit(index).expect("admit");
    }
    refused(admit(8), ErrorKind::InvalidInput);
    fs::remove_dir(cgroup(3)).expect("remove a cgroup");
    admit(9).expect("admit");
    let bind = || sock::bind_any(sock::tcp4(), 61000).err().unwrap_or(0);
    for (index, expected) in [(0, 0), (8, EADDRINUSE), (9, 0)] {
        assert_eq!(proc::in_cgroup(&cgroup(index), bind), expected, "{index}");
    }
}

/// Finds TCP sockets, of root.
struct Listed;

impl FindSockets for Listed {
    fn find(
        &self,
        ports: PortRange,
        _consumers: &[Consumer],
    ) -> Result<FoundSockets, Box<dyn std::error::Error + Send + Sync>> {
        let table = fs::read_to_string("/proc/net/tcp")?;
        let local = table.lines().skip(1).filter_map(|line| {
            let address = line.split_whitespace().nth(1)?;
            u16::from_str_radix(address.split_once(':')?.1, 16).ok()
        });
        let strangers = local
            .filter(|port| ports.contains(*port))
            .map(|port| Stranger {
                port,
                pid: Some(812),
                command: Some("coturn".to_owned()),
                uid: 0,
                automatic: false,
                words: String::new(),
            });
        Ok(FoundSockets {
            of_consumers: 0,
            of_strangers: strangers.collect(),
        })
    }
}

/// All of what is in the way is said as data, whether it is tried or only asked; nothing is left of it; and
/// the others of the batch are made.
pub fn what_is_in_the_way(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let keeper = keeper(sandbox);
    let mut local = request(&["20000-20009/tcp"]);
    local.comment = Some("old bridge".to_owned());
    keeper.reserve(&local, None).expect("reserve");
    let socket = sock::tcp4();
    assert_ok!(sock::bind_any(&socket, 40003));
    socket.listen(1).expect("listen");

    let in_use = policy("a", &["40010/udp", "40000-40005/tcp"], &["user root"]);
    let overlaps = policy("b", &["20005-20020/tcp"], &[]);
    let nameless = policy("c", &["21000/tcp"], &["user no-such-user"]);
    let good = policy("d", &["22000/tcp"], &[]);
    let words = |obstacles: &[portkeep_admin::Obstacle]| {
        let words = obstacles
            .iter()
            .map(|it| format!("{} {}", it.ports, it.what));
        words.collect::<Vec<_>>()
    };
    let said = [
        "40003/tcp socket of coturn (pid 812, user root)",
        "20005-20009/tcp reserved for associated sockets of administrators (\"old bridge\")",
        "21000/tcp there is no user no-such-user",
    ];
    let before = fs::read_to_string(store(sandbox)).expect("read");
    for (request, said) in [&in_use, &overlaps, &nameless].into_iter().zip(said) {
        let found = keeper.in_the_way_of_fleet(request, Some(&Listed));
        assert_eq!(words(&found.expect("look")), [said]);
    }
    assert_eq!(keeper.in_the_way_of_fleet(&good, None).expect("look"), []);
    assert_eq!(fs::read_to_string(store(sandbox)).expect("read"), before);

    let all = [in_use.clone(), overlaps, nameless, good.clone()];
    let noted = keeper.note_for_fleet(&all).expect("note");
    assert!(noted[0].is_ok() && noted[3].is_ok());
    for (answer, said) in noted[1..3].iter().zip(&said[1..]) {
        assert_eq!(words(answer.as_ref().expect_err("refused")), [*said]);
    }
    let both = [in_use.clone(), good.clone()];
    let created = keeper
        .create_for_fleet(&both, Some(&Listed))
        .expect("create");
    assert_eq!(words(created[0].as_ref().expect_err("refused")), [said[0]]);
    assert!(created[1].is_ok());
    assert_eq!(in_kernel(), ["20000-20009/tcp", "22000/tcp"]);
    assert!(
        portkeep_admin::sysctl::protected_ports()
            .expect("read")
            .is_empty()
    );
    // Without somebody who looks, the kernel part's own word is passed on.
    let created = keeper
        .create_for_fleet(std::slice::from_ref(&in_use), None)
        .expect("create");
    let obstacles = created[0].as_ref().expect_err("refused");
    assert!(
        matches!(&obstacles[..], [it] if matches!(it.what, InTheWay::Other(_))),
        "{obstacles:?}"
    );
    assert_eq!(in_kernel(), ["20000-20009/tcp", "22000/tcp"]);
    keeper.erase_for_fleet(&tags(&both)).expect("erase");
    assert_eq!(fs::read_to_string(store(sandbox)).expect("read"), before);
    assert_eq!(keeper.differences().expect("compare"), []);
    refused(
        keeper.create_for_fleet(&[good], None),
        ErrorKind::InvalidInput,
    );
}

/// Local commands leave it alone, but by force.
pub fn local_changes(sandbox: &Sandbox) {
    enable::enable(sandbox);
    let keeper = keeper(sandbox);
    let wanted = [
        policy("rtp", &["20000-20009/tcp"], &[]),
        grant("g1", &["61000-61001/tcp"]),
    ];
    make(&keeper, &wanted);
    for (ports, owner) in [
        ("20000-20009/tcp", "reserved by fleet prod, policy rtp"),
        ("61000-61001/tcp", "reserved by fleet prod, grant g1"),
    ] {
        let these = ranges(&[ports]);
        let error = refused(
            keeper.remove(Kind::Reservation, &these, None),
            ErrorKind::Reserved,
        );
        assert!(error.to_string().contains(owner), "{error}");
        let error = refused(
            keeper.reserve(&request(&[ports]), None),
            ErrorKind::Reserved,
        );
        assert!(error.to_string().contains(owner), "{error}");
        let declared = sandbox.state_dir().join("declared.toml");
        let text = format!("version = 1\n[[exclusion]]\nports = \"{ports}\"\n");
        fs::write(&declared, text).expect("write");
        let read = Declared::read([&declared]).expect("read");
        let applied = keeper.apply(&read, UnknownNames::Refuse, None);
        let error = refused(applied, ErrorKind::Overlap);
        assert!(error.to_string().contains(owner), "{error}");
        fs::write(&declared, "version = 1\n").expect("write");
        let read = Declared::read([&declared]).expect("read");
        let applied = keeper.apply(&read, UnknownNames::Refuse, None);
        assert!(applied.expect("apply").is_unchanged());
        assert_eq!(in_kernel().len(), 2);
    }
    let these = ranges(&["20000-20009/tcp", "61000-61001/tcp"]);
    keeper
        .remove_by_force(Kind::Reservation, &these, None)
        .expect("remove");
    assert_eq!(in_kernel(), [] as [&str; 0]);
    assert_eq!(keeper.fleet_entries().expect("list"), []);
    assert_eq!(keeper.differences().expect("compare"), []);
    let text = "version = 1\n[[reservation]]\nports = \"1/tcp\"\nfleet = \"prod/rtp#1\"\n";
    fs::write(sandbox.state_dir().join("declared.toml"), text).expect("write");
    refused(
        Declared::read([sandbox.state_dir().join("declared.toml")]),
        ErrorKind::InvalidInput,
    );
}
