//! Installing, and upgrading in place.

use std::fs;
use std::mem::MaybeUninit;
use std::path::{Path, PathBuf};

use libbpf_rs::{MapCore, MapFlags, MapMut};
use portkeep_host::DEFAULT_POOL;

use crate::error::{Error, ErrorKind};
use crate::install::bpffs::Bpffs;
use crate::install::cgroup::{self, Cgroup};
use crate::install::layout::{Layout, first_mount};
use crate::install::lock::{InstallLock, make_directory};
use crate::install::settings::{DEFAULT_QUOTA, Settings};
use crate::install::skeleton::PortkeepSkel;
use crate::install::{features, links, object, proof, remove, subordinates, sys, tags};
use crate::installation::Installation;

/// How to install.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallOptions {
    /// Where.
    pub installation: Installation,
    /// The first and the last port that wildcard requests are served from.
    pub pool: (u16, u16),
    /// The cgroups whose processes can make the control calls; none: where the programs are
    /// attached. Elsewhere socket options cost what they cost without Portkeep.
    pub control: Vec<PathBuf>,
    /// How many ports an unprivileged user may hold; 0: only administrators can reserve.
    pub quota: u32,
}

/// How the installation that is there was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Running {
    /// [`InstallOptions::pool`]
    pub pool: (u16, u16),
    /// [`InstallOptions::control`], as far as these cgroups are still there; `None` if it serves
    /// every process.
    pub control: Option<Vec<PathBuf>>,
    /// [`InstallOptions::quota`]
    pub quota: u32,
}

impl Default for InstallOptions {
    fn default() -> InstallOptions {
        InstallOptions {
            installation: Installation::default(),
            pool: DEFAULT_POOL,
            control: Vec::new(),
            quota: DEFAULT_QUOTA,
        }
    }
}

/// What [`install`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Whether Portkeep was there already and its programs were replaced; reservations stay.
    pub upgraded: bool,
    /// Whether the BPF file system was mounted for it.
    pub mounted_bpffs: bool,
    /// Where the programs are attached.
    pub cgroup: PathBuf,
    /// Where things are pinned.
    pub layout: Layout,
}

/// Installs the kernel part, or upgrades the one that is there.
///
/// Before any program takes effect, they prove on this kernel that they see every kind of bound
/// socket (see `proof.rs`): in a cgroup and a network namespace of their own.
///
/// # Errors
///
/// What others than root have made where the kernel part belongs is refused, and left alone.
/// Nothing is left behind by a failed first installation; a failed upgrade leaves the old programs
/// or the new ones attached at each hook, with every reservation in force.
pub fn install(options: &InstallOptions) -> Result<Installed, Error> {
    install_with(&options.installation, |_| Ok(options.clone()))
}

/// [`install`], with options that may depend on those of the installation that is there. Nobody
/// else installs or removes meanwhile.
///
/// # Errors
///
/// Those of [`install`], and of `choose`, of which nothing is changed. The installation is not `choose`'s
/// to change.
pub fn install_with<E: From<Error>>(
    installation: &Installation,
    choose: impl FnOnce(Option<&Running>) -> Result<InstallOptions, E>,
) -> Result<Installed, E> {
    object::keep_log();
    features::require_privilege()?;
    features::require_all()?;
    let cgroup_path = installation.find_cgroup()?;
    let cgroup = Cgroup::open(&cgroup_path)?;
    let (bpffs, lock) = loop {
        let bpffs = Bpffs::find_or_mount(installation)?;
        if let Some(lock) = InstallLock::take(&bpffs)? {
            break (bpffs, lock);
        }
    };
    let layout = bpffs.installation()?.unwrap_or_else(|| bpffs.layout());
    let before = find_previous(&bpffs, &cgroup_path, &cgroup)?;
    let upgraded = before.is_some();
    let install = || -> Result<(), E> {
        let running = before.map(|before| running(before, &layout, &cgroup_path));
        let options = choose(running.transpose()?.as_ref())?;
        require_pool(options.pool)?;
        let control = open_control(&options, &cgroup_path)?;
        proof::sweep(&cgroup_path);
        make_everything(&options, before, &bpffs, (&cgroup, &cgroup_path), &control)?;
        Ok(())
    };
    let result = install();
    if result.is_err() && !upgraded {
        let _ = remove::remove_everything(&bpffs);
    }
    drop(lock);
    result.map(|()| Installed {
        upgraded,
        mounted_bpffs: bpffs.newly_mounted,
        cgroup: cgroup_path,
        layout,
    })
}

fn running(settings: Settings, layout: &Layout, top: &Path) -> Result<Running, Error> {
    let ids = links::control_cgroups(layout)?;
    let serves_all = links::attached_to(layout).is_some_and(|id| ids.contains(&id));
    let find = |id| cgroup::find(top, id);
    Ok(Running {
        pool: settings.pool,
        control: (!serves_all).then(|| ids.into_iter().filter_map(find).collect()),
        quota: settings.quota,
    })
}

fn require_pool((start, end): (u16, u16)) -> Result<(), Error> {
    if start == 0 || start > end {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            format!("{start}-{end} is not a valid pool"),
        )
        .with_hint("the first port must be at least 1 and not above the last, as in 61000-65535"));
    }
    Ok(())
}

fn open_control(options: &InstallOptions, cgroup: &Path) -> Result<Vec<Cgroup>, Error> {
    if options.control.is_empty() {
        return Ok(vec![Cgroup::open(cgroup)?]);
    }
    let top = fs::canonicalize(cgroup).map_err(|error| Error::path("looking at", cgroup, error))?;
    options
        .control
        .iter()
        .map(|path| {
            let below = fs::canonicalize(path)
                .map_err(|error| Error::path("looking at", path, error))?
                .starts_with(&top);
            if !below {
                return Err(Error::new(
                    ErrorKind::InvalidInput,
                    format!(
                        "the control cgroup {} is not in {}",
                        path.display(),
                        top.display()
                    ),
                )
                .with_hint("reservations made there would not be enforced there"));
            }
            Cgroup::open(path)
        })
        .collect()
}

/// The settings of a working installation, which is upgraded. What an interrupted one or an
/// interrupted removal left behind is cleared away: while the release hook or the settings were
/// missing, reservations may have lost their sockets.
fn find_previous(
    bpffs: &Bpffs,
    cgroup_path: &Path,
    cgroup: &Cgroup,
) -> Result<Option<Settings>, Error> {
    let layout = bpffs.layout();
    if let Some(settings) = Settings::of_working(&layout)?
        && covers_same_sockets(&layout, cgroup_path, cgroup)?
    {
        return Ok(Some(settings));
    }
    remove::clear(bpffs)?;
    Ok(None)
}

/// Reservations end through the release hook of their sockets' cgroup, so every socket that the
/// old attachment covers has to be covered by the new one. `false` if none is: the old cgroup has
/// been removed, and sockets that outlive it no longer pass through any hook of ours.
fn covers_same_sockets(layout: &Layout, path: &Path, cgroup: &Cgroup) -> Result<bool, Error> {
    let Some(old) = links::attached_to(layout) else {
        return Ok(false);
    };
    if old == cgroup.id || cgroup::find(path, old).is_some() {
        return Ok(true);
    }
    let top = first_mount("cgroup2")?;
    let Some(old) = top.and_then(|top| cgroup::find(&top, old)) else {
        return Ok(false);
    };
    Err(Error::new(
        ErrorKind::InvalidInput,
        format!(
            "Portkeep is already attached to {}, which is not in {}",
            old.display(),
            path.display()
        ),
    )
    .with_hint(
        "run `portkeep disable`, which ends every reservation, then enable at the other cgroup",
    ))
}

fn make_everything(
    options: &InstallOptions,
    before: Option<Settings>,
    bpffs: &Bpffs,
    (cgroup, path): (&Cgroup, &Path),
    control: &[Cgroup],
) -> Result<(), Error> {
    let layout = bpffs.layout();
    make_directory(&layout.links(), 0o700)?;
    let mut storage = MaybeUninit::uninit();
    let skeleton = object::load(&mut storage, Some(&layout))?;
    if before.is_some() && !tags::are_attached(&skeleton, &layout)? {
        proof::prove_copy(path)?;
    }
    // Written down before it is done: whoever removes an interrupted installation knows.
    let missing = bpffs.missing_mode()?;
    let added_mode = before.map_or(0, |before| before.added_mode) | missing;
    Settings {
        quota: options.quota,
        added_mode,
        subordinates: subordinates::write(&skeleton.maps.subordinates)?,
        ..Settings::new(options.pool)
    }
    .write(&skeleton.maps.settings)?;
    if before.is_none() {
        proof::prove(&skeleton, path)?;
        forget_proof(&skeleton)?;
    }
    bpffs.add_mode(missing)?;
    links::put_all(&skeleton, &layout, cgroup, control)?;
    note_enabled(&skeleton.maps.enabled)
}

/// Leaves the maps as they were before the proof used them: without its network namespace, which would
/// count as root's, and without its refusals. No program is attached meanwhile.
fn forget_proof(skeleton: &PortkeepSkel<'_>) -> Result<(), Error> {
    let failed = |error| Error::bpf("clearing what the proof left", error);
    let maps = &skeleton.maps;
    for map in [&maps.port_chunks, &maps.charges] {
        for key in map.keys().collect::<Vec<_>>() {
            map.delete(&key).map_err(failed)?;
        }
    }
    let zero = |map: &MapMut<'_>| vec![0; map.value_size() as usize];
    maps.counters
        .update(&0u32.to_ne_bytes(), &zero(&maps.counters), MapFlags::ANY)
        .map_err(failed)?;
    let zeroes = vec![zero(&maps.refusals); libbpf_rs::num_possible_cpus().map_err(failed)?];
    for key in 0..maps.refusals.max_entries() {
        maps.refusals
            .update_percpu(&key.to_ne_bytes(), &zeroes, MapFlags::ANY)
            .map_err(failed)?;
    }
    Ok(())
}

/// Tells watchers.
fn note_enabled(map: &impl MapCore) -> Result<(), Error> {
    let now = sys::since_boot().as_nanos() as u64;
    map.update(&0u32.to_ne_bytes(), &now.to_ne_bytes(), MapFlags::ANY)
        .map_err(|error| Error::bpf("writing when Portkeep was enabled", error))
}
