//! Changes that end half way: at each step of the store and of the setting, by a crash, which leaves
//! the kernel as it is, and by a power cut, which loses the kernel and whatever was not synced.

mod disk;
mod failing;
mod state;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portkeep::Protocol;
use portkeep::sockopt::{self, CreateFlags, DeleteFlags};
use portkeep_admin::{Declared, FleetRequest, FleetTag, UnknownNames};
use portkeep_admin::{Error, Installation, Keeper, Kind, Outcome, Ports, Request, sysctl};
use portkeep_tests::{Sandbox, enable, proc, sock, trials};

use disk::{CUT, Disk};
use state::State;

trials! {
    root:
        reserving_and_a_crash => LIMIT,
        reserving_and_a_power_cut => LIMIT,
        excluding_and_a_crash => LIMIT,
        excluding_and_a_power_cut => LIMIT,
        unreserving_a_part_and_a_crash => LIMIT,
        unreserving_a_part_and_a_power_cut => LIMIT,
        including_and_a_crash => LIMIT,
        including_and_a_power_cut => LIMIT,
        commenting_and_a_power_cut => LIMIT,
        the_first_of_all_and_a_power_cut => LIMIT,
        repairing_and_a_crash => LIMIT,
        deleting_by_hand_and_a_crash => LIMIT,
        deleting_by_hand_and_a_power_cut => LIMIT,
        editing_by_hand_and_a_crash => LIMIT,
        storing_anothers_and_a_crash => LIMIT,
        applying_and_a_crash => LIMIT,
        applying_and_a_power_cut => LIMIT,
        applying_the_first_and_a_power_cut => LIMIT,
        offering_to_a_fleet_and_a_crash => LIMIT,
        offering_to_a_fleet_and_a_power_cut => LIMIT,
        releasing_to_a_fleet_and_a_crash => LIMIT,
        releasing_to_a_fleet_and_a_power_cut => LIMIT,
        granting_and_a_crash => LIMIT,
        unreserving_beside_a_long_list_and_a_crash => LIMIT,
        reserving_on_a_failing_disk => LIMIT,
        excluding_on_a_failing_disk => LIMIT,
        unreserving_a_part_on_a_failing_disk => LIMIT,
        including_on_a_failing_disk => LIMIT,
        commenting_on_a_failing_disk => LIMIT,
        applying_on_a_failing_disk => LIMIT,
        applying_the_first_on_a_failing_disk => LIMIT,
        a_store_written_without_fsync_would_be_noticed;
}

const LIMIT: Duration = Duration::from_secs(300);

/// What others protect all the time; in a trial of its own a list that takes several writes.
fn others() -> String {
    if !LONG.load(Ordering::Relaxed) {
        return "40002,50000".to_owned();
    }
    let every_other: Vec<_> = (10001..=20001)
        .step_by(2)
        .map(|port| port.to_string())
        .collect();
    every_other.join(",")
}

static LONG: AtomicBool = AtomicBool::new(false);

/// What is there before the change.
type Prepare = fn(&Keeper) -> Result<(), Error>;

type Change = fn(&Keeper) -> Result<Outcome, Error>;

fn request(kind: Kind, ports: &[&str], comment: Option<&str>) -> Request {
    let user = (kind == Kind::Reservation).then(|| "root".to_owned());
    Request {
        kind,
        ports: Ports::These(ports.iter().map(|ports| range(ports)).collect()),
        scope: None,
        users: user.into_iter().collect(),
        groups: Vec::new(),
        cgroups: Vec::new(),
        comment: comment.map(str::to_owned),
    }
}

fn range(text: &str) -> portkeep::PortRange {
    text.parse().expect("a range")
}

/// What is there before the change that is interrupted.
fn prepare(keeper: &Keeper) -> Result<(), Error> {
    keeper.reserve(
        &request(
            Kind::Reservation,
            &["40000-40009/tcp", "40000-40009/udp"],
            None,
        ),
        None,
    )?;
    keeper.reserve(
        &request(Kind::Exclusion, &["41000-41009/udp"], Some("old")),
        None,
    )?;
    Ok(())
}

fn nothing(_keeper: &Keeper) -> Result<(), Error> {
    Ok(())
}

fn reserve(keeper: &Keeper) -> Result<Outcome, Error> {
    keeper.reserve(
        &request(
            Kind::Reservation,
            &["42000-42003/tcp", "42000-42003/udp"],
            Some("new"),
        ),
        None,
    )
}

fn exclude(keeper: &Keeper) -> Result<Outcome, Error> {
    keeper.reserve(
        &request(Kind::Exclusion, &["20000/tcp", "20000/udp"], None),
        None,
    )
}

fn unreserve(keeper: &Keeper) -> Result<Outcome, Error> {
    keeper.remove(
        Kind::Reservation,
        &[range("40003-40004/tcp"), range("40003-40004/udp")],
        None,
    )
}

fn include(keeper: &Keeper) -> Result<Outcome, Error> {
    keeper.remove(Kind::Exclusion, &[range("41000-41009/udp")], None)
}

fn comment(keeper: &Keeper) -> Result<Outcome, Error> {
    keeper.reserve(
        &request(Kind::Exclusion, &["41000-41009/udp"], Some("renewed")),
        None,
    )
}

/// Where declarations are, whatever the store: entries name it.
fn declarations() -> PathBuf {
    let directory = std::env::var_os("PORTKEEP_STATE_DIR").expect("a sandbox");
    let directory = Path::new(&directory).join("declared");
    fs::create_dir_all(&directory).expect("make a directory");
    directory
}

/// One that will grow at both ends and change its user, one that will be two of which one grows, one
/// that will be reserved instead of excluded, and one that will go.
const DECLARED_FIRST: &str = r#"version = 1
[[reservation]]
ports = "46000-46009/tcp"
users = ["root"]
comment = "first"
[[reservation]]
ports = "47000-47009/udp"
users = ["root"]
[[exclusion]]
ports = "48000-48001/udp"
[[reservation]]
ports = "49000/tcp"
"#;

const DECLARED_THEN: &str = r#"version = 1
[[reservation]]
ports = "45990-46020/tcp"
users = ["nobody"]
comment = "then"
[[reservation]]
ports = "47000-47004/udp"
users = ["root"]
[[reservation]]
ports = "47005-47012/udp"
[[reservation]]
ports = "48000-48001/udp"
users = ["root"]
[[exclusion]]
ports = "49500/udp"
"#;

fn apply_text(keeper: &Keeper, text: &str) -> Result<Outcome, Error> {
    let directory = declarations();
    fs::write(directory.join("a.toml"), text).expect("write");
    let declared = Declared::read([directory])?;
    let applied = keeper.apply(&declared, UnknownNames::Refuse, None)?;
    Ok(Outcome {
        warnings: applied.failures.iter().map(failing::in_words).collect(),
        ..Outcome::default()
    })
}

fn prepare_declared(keeper: &Keeper) -> Result<(), Error> {
    prepare(keeper)?;
    apply_text(keeper, DECLARED_FIRST).map(drop)
}

fn apply(keeper: &Keeper) -> Result<Outcome, Error> {
    apply_text(keeper, DECLARED_THEN)
}

fn repair(keeper: &Keeper) -> Result<Outcome, Error> {
    keeper.restore(None).map(|_| Outcome::default())
}

/// The kernel as it is after a boot: nothing reserved, nothing protected but by others. To install
/// anew each time would take long and show nothing more.
fn boot(sandbox: &Sandbox) {
    state::protect(&others());
    if portkeep::list().is_err() {
        enable::enable(sandbox);
    }
    for entry in portkeep::list().expect("list") {
        let socket = match entry.range.protocol() {
            Protocol::Tcp => sock::tcp4(),
            Protocol::Udp => sock::udp4(),
        };
        let (start, count) = (entry.range.start(), entry.range.count());
        sockopt::delete(socket, start, count, DeleteFlags::default()).expect("delete");
    }
}

fn installation(sandbox: &Sandbox, directory: &Path) -> Installation {
    Installation {
        state_dir: Some(directory.to_owned()),
        ..enable::installation(sandbox)
    }
}

fn keeper(sandbox: &Sandbox, directory: &Path) -> Keeper {
    installation(sandbox, directory).keeper()
}

/// The state after everything was done undisturbed.
fn undisturbed(
    sandbox: &Sandbox,
    name: &str,
    before: Prepare,
    meddle: fn(&Path),
    change: Option<Change>,
) -> State {
    let directory = sandbox.state_dir().join(name);
    boot(sandbox);
    let keeper = keeper(sandbox, &directory);
    before(&keeper).expect("prepare");
    meddle(&directory);
    if let Some(change) = change {
        change(&keeper).expect("change");
    }
    State::of(&keeper)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Disaster {
    Crash,
    PowerCut,
}

/// Interrupts the change at each step in turn, restores, and expects the old or the new state; both
/// must come up.
fn interrupt(
    sandbox: &Sandbox,
    disaster: Disaster,
    before: Prepare,
    change: Change,
    meddle: fn(&Path),
) {
    let old = undisturbed(sandbox, "old", before, untouched, None);
    let new = undisturbed(sandbox, "new", before, untouched, Some(change));
    interrupt_between([&old, &new], sandbox, disaster, before, change, meddle);
}

/// Interrupts the repair after somebody has meddled, and expects what an undisturbed one makes of it.
fn interrupt_repair(sandbox: &Sandbox, disaster: Disaster, meddle: fn(&Path)) {
    let new = undisturbed(sandbox, "new", prepare, meddle, Some(repair));
    interrupt_between([&new, &new], sandbox, disaster, prepare, repair, meddle);
}

fn interrupt_between(
    [old, new]: [&State; 2],
    sandbox: &Sandbox,
    disaster: Disaster,
    before: Prepare,
    change: Change,
    meddle: fn(&Path),
) {
    let (mut olds, mut news) = (0, 0);
    for step in 0.. {
        let directory = sandbox.state_dir().join(format!("step-{step}"));
        boot(sandbox);
        before(&keeper(sandbox, &directory)).expect("prepare");
        meddle(&directory);
        let disk = Disk::watch(&directory, step);
        let remains = disk.remains();
        let child = proc::fork_child(|| {
            let keeper = Keeper::with_files(installation(sandbox, &directory), Box::new(disk));
            change(&keeper).map_or(1, |_| 0)
        });
        let code = child.code();
        assert!(code == CUT || code == 0, "step {step}: {code}");
        // What others protect is protected at each instant.
        assert_eq!(state::unprotected(&others()), "", "step {step}");

        let survivors = match disaster {
            Disaster::Crash => vec![directory.clone()],
            Disaster::PowerCut => remains.list(),
        };
        assert!(!survivors.is_empty());
        for survivor in survivors {
            if disaster == Disaster::PowerCut {
                boot(sandbox);
            }
            let keeper = keeper(sandbox, &survivor);
            let report = keeper.restore(None).expect("restore");
            assert!(report.failures.is_empty(), "step {step}: {report:?}");
            let state = State::of(&keeper);
            assert_eq!(keeper.differences().expect("compare"), [], "step {step}");
            if state == *new {
                news += 1;
            } else {
                olds += 1;
                assert_eq!(state, *old, "step {step}, {}", survivor.display());
            }
        }
        if code == 0 {
            assert!(step > 0, "nothing was interrupted");
            break;
        }
    }
    assert!(
        (olds > 0 || old == new) && news > 0,
        "old {olds} times, new {news} times"
    );
}

fn untouched(_directory: &Path) {}

/// Somebody writes the setting without a thought for what is there, and somebody else deletes.
fn meddle(_directory: &Path) {
    state::protect(&others());
    sockopt::delete(sock::udp4(), 40000, 10, DeleteFlags::default()).expect("delete");
}

fn reserving_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare, reserve, untouched);
}

fn reserving_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, prepare, reserve, untouched);
}

fn excluding_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare, exclude, untouched);
}

fn excluding_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, prepare, exclude, untouched);
}

fn unreserving_a_part_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare, unreserve, untouched);
}

fn unreserving_a_part_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, prepare, unreserve, untouched);
}

fn including_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare, include, untouched);
}

fn including_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, prepare, include, untouched);
}

fn commenting_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, prepare, comment, untouched);
}

fn the_first_of_all_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, nothing, reserve, untouched);
}

fn repairing_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare, repair, meddle);
}

fn applying_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare_declared, apply, untouched);
}

fn applying_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(
        sandbox,
        Disaster::PowerCut,
        prepare_declared,
        apply,
        untouched,
    );
}

fn applying_the_first_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, nothing, apply, untouched);
}

fn reserving_on_a_failing_disk(sandbox: &Sandbox) {
    failing::fail(sandbox, prepare, reserve);
}

fn excluding_on_a_failing_disk(sandbox: &Sandbox) {
    failing::fail(sandbox, prepare, exclude);
}

fn unreserving_a_part_on_a_failing_disk(sandbox: &Sandbox) {
    failing::fail(sandbox, prepare, unreserve);
}

fn including_on_a_failing_disk(sandbox: &Sandbox) {
    failing::fail(sandbox, prepare, include);
}

fn commenting_on_a_failing_disk(sandbox: &Sandbox) {
    failing::fail(sandbox, prepare, comment);
}

fn applying_on_a_failing_disk(sandbox: &Sandbox) {
    failing::fail(sandbox, prepare_declared, apply);
}

fn applying_the_first_on_a_failing_disk(sandbox: &Sandbox) {
    failing::fail(sandbox, nothing, apply);
}

fn of_fleet(ids: [&str; 2], grant: bool) -> Vec<FleetRequest> {
    let ports = [
        ["43000-43003/tcp", "43000-43003/udp"],
        ["61000-61003/udp", "44000/tcp"],
    ];
    let requests = ids.into_iter().zip(ports);
    requests
        .map(|(id, ports)| FleetRequest {
            tag: FleetTag {
                fleet: "prod".to_owned(),
                id: id.to_owned(),
                generation: 1,
                grant,
            },
            ports: ports.map(range).to_vec(),
            consumers: Vec::new(),
            comment: None,
        })
        .collect()
}

fn make_for_fleet(keeper: &Keeper, requests: &[FleetRequest]) -> Result<Outcome, Error> {
    for answers in [
        keeper.note_for_fleet(requests)?,
        keeper.create_for_fleet(requests, None)?,
    ] {
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
    Ok(Outcome::default())
}

fn end_for_fleet(keeper: &Keeper, requests: &[FleetRequest]) -> Result<Outcome, Error> {
    let tags: Vec<_> = requests.iter().map(|request| request.tag.clone()).collect();
    keeper.delete_for_fleet(&tags)?;
    keeper.erase_for_fleet(&tags)?;
    Ok(Outcome::default())
}

fn prepare_fleet(keeper: &Keeper) -> Result<(), Error> {
    prepare(keeper)?;
    make_for_fleet(keeper, &of_fleet(["rtp", "sip"], false)).map(drop)
}

fn offer(keeper: &Keeper) -> Result<Outcome, Error> {
    make_for_fleet(keeper, &of_fleet(["rtp", "sip"], false))
}

fn release(keeper: &Keeper) -> Result<Outcome, Error> {
    end_for_fleet(keeper, &of_fleet(["rtp", "sip"], false))
}

fn offering_to_a_fleet_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare, offer, untouched);
}

fn offering_to_a_fleet_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::PowerCut, prepare, offer, untouched);
}

fn releasing_to_a_fleet_and_a_crash(sandbox: &Sandbox) {
    interrupt(sandbox, Disaster::Crash, prepare_fleet, release, untouched);
}

fn releasing_to_a_fleet_and_a_power_cut(sandbox: &Sandbox) {
    interrupt(
        sandbox,
        Disaster::PowerCut,
        prepare_fleet,
        release,
        untouched,
    );
}

/// At each step: what the kernel has of grants the store has, `enable` keeps none of it, and the agent that
/// comes back can make all of it or end all of it.
fn granting_and_a_crash(sandbox: &Sandbox) {
    let grants = || of_fleet(["g1", "g2"], true);
    let old = undisturbed(sandbox, "old", prepare, untouched, None);
    let mut unfinished = 0;
    for step in 0.. {
        let directory = sandbox.state_dir().join(format!("step-{step}"));
        boot(sandbox);
        let keeper = keeper(sandbox, &directory);
        prepare(&keeper).expect("prepare");
        let disk = Disk::watch(&directory, step);
        let child = proc::fork_child(|| {
            let keeper = Keeper::with_files(installation(sandbox, &directory), Box::new(disk));
            let made = make_for_fleet(&keeper, &grants());
            made.and_then(|_| end_for_fleet(&keeper, &grants()))
                .map_or(1, |_| 0)
        });
        let code = child.code();
        assert!(code == CUT || code == 0, "step {step}: {code}");
        let entries = keeper.fleet_entries().expect("list");
        unfinished += usize::from(!entries.is_empty());
        let noted: Vec<_> = entries.iter().flat_map(|it| it.ports.clone()).collect();
        let of_grants = |range: &portkeep::PortRange| range.start() >= 43000;
        let in_kernel = portkeep::list().expect("list").into_iter();
        for range in in_kernel.map(|it| it.range).filter(of_grants) {
            assert!(noted.contains(&range), "step {step}: {range}");
        }
        let report = keeper.restore(None).expect("restore");
        assert!(report.failures.is_empty(), "step {step}: {report:?}");
        let text = fs::read_to_string(directory.join("reservations.toml")).expect("read");
        assert!(!text.contains("fleet"), "step {step}: {text}");
        if step % 2 == 0 {
            make_for_fleet(&keeper, &grants()).expect("make");
        }
        end_for_fleet(&keeper, &grants()).expect("end");
        assert_eq!(State::of(&keeper), old, "step {step}");
        assert_eq!(keeper.differences().expect("compare"), [], "step {step}");
        if code == 0 {
            break;
        }
    }
    assert!(unfinished > 0);
}

/// The tables of the file, of which some are changed or left out.
fn edit(directory: &Path, change: impl Fn(&str) -> Option<String>) {
    let path = directory.join("reservations.toml");
    let text = fs::read_to_string(&path).expect("read the store");
    let tables = text.split_inclusive("\n\n");
    let edited: String = tables.filter_map(change).collect();
    assert_ne!(edited, text);
    fs::write(path, edited).expect("write the store");
}

fn delete_by_hand(directory: &Path) {
    edit(directory, |table| {
        (!table.contains("40000-40009/tcp") && !table.contains("41000")).then(|| table.to_owned())
    });
}

/// One gets shorter, and another user; one goes on; one is now three, of which two touch.
fn edit_by_hand(directory: &Path) {
    edit(directory, |table| {
        let table = table.replace("41000-41009/udp", "40995-41015/udp");
        if table.contains("40000-40009/udp") {
            let shorter = table.replace("40000-40009", "40005-40007");
            return Some(shorter.replace("\"root\"", "\"nobody\""));
        }
        if !table.contains("40000-40009/tcp") {
            return Some(table);
        }
        let parts = ["40001-40003", "40004-40005", "40008"];
        let parts = parts.map(|part| table.replace("40000-40009", part));
        Some(parts.concat())
    });
}

/// As a program does that knows nothing but the ABI.
fn create_as_another(_directory: &Path) {
    let flags = CreateFlags::default();
    sockopt::create(sock::udp4(), 20000, 4, 1, flags, &[]).expect("create");
}

fn deleting_by_hand_and_a_crash(sandbox: &Sandbox) {
    interrupt_repair(sandbox, Disaster::Crash, delete_by_hand);
}

fn deleting_by_hand_and_a_power_cut(sandbox: &Sandbox) {
    interrupt_repair(sandbox, Disaster::PowerCut, delete_by_hand);
}

fn editing_by_hand_and_a_crash(sandbox: &Sandbox) {
    interrupt_repair(sandbox, Disaster::Crash, edit_by_hand);
}

fn storing_anothers_and_a_crash(sandbox: &Sandbox) {
    interrupt_repair(sandbox, Disaster::Crash, create_as_another);
}

/// The ports that are not reserved any more stay protected: to take them out of the list would take
/// several writes, between which the ports of others were not.
fn unreserving_beside_a_long_list_and_a_crash(sandbox: &Sandbox) {
    LONG.store(true, Ordering::Relaxed);
    interrupt(sandbox, Disaster::Crash, prepare, unreserve, untouched);
    let left = sysctl::protected_ports().expect("read");
    assert!(left.contains(40003) && left.contains(40004));
    // Once it is shorter the next command takes them out.
    LONG.store(false, Ordering::Relaxed);
    state::protect("40000-40009,41000-41009,50000");
    let keeper = keeper(sandbox, &sandbox.state_dir().join("new"));
    keeper.restore(None).expect("restore");
    keeper
        .reserve(&request(Kind::Exclusion, &["45000/tcp"], None), None)
        .expect("exclude");
    let left = sysctl::protected_ports().expect("read").to_string();
    assert_eq!(left, "40000-40002,40005-40009,41000-41009,45000,50000");
}

/// That the model of the disk can tell: without the fsync a power cut leaves what is neither the
/// old nor the new store.
fn a_store_written_without_fsync_would_be_noticed(sandbox: &Sandbox) {
    let directory = sandbox.state_dir().join("store");
    boot(sandbox);
    let disk = Disk::watch(&directory, usize::MAX).without_fsync();
    let remains = disk.remains();
    let watched = Keeper::with_files(installation(sandbox, &directory), Box::new(disk));
    reserve(&watched).expect("reserve");
    let damaged = remains
        .list()
        .into_iter()
        .filter(|survivor| keeper(sandbox, survivor).contents().is_err());
    assert!(damaged.count() > 0);
}
