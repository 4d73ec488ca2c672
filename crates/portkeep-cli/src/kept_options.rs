//! The options of `enable`, which keep their values until they are given again: across upgrades in the
//! kernel part, across reboots and `disable` in the notes of the store.

use std::fs;
use std::path::{Path, PathBuf};

use portkeep_admin::Settings;
use portkeep_admin::{DEFAULT_POOL, DEFAULT_QUOTA, InstallOptions, Installation, Running};

use crate::error::{Context as _, Error, Result};
use crate::output::warn;

/// The options that were given.
#[derive(Debug)]
pub struct Given {
    pub pool: Option<(u16, u16)>,
    pub quota: Option<u32>,
    /// Empty: every process.
    pub control: Option<Vec<PathBuf>>,
}

impl Given {
    /// For each option: the given value, else the current one, else the noted one (as after a reboot), else
    /// the default.
    pub fn choose(
        &self,
        installation: &Installation,
        running: Option<&Running>,
        noted: &Settings,
    ) -> Result<InstallOptions> {
        let pool = self.pool.or(running.map(|running| running.pool));
        let quota = self.quota.or(running.map(|running| running.quota));
        Ok(InstallOptions {
            installation: installation.clone(),
            pool: pool.or(noted.pool).unwrap_or(DEFAULT_POOL),
            control: self.control(running, noted)?,
            quota: quota.or(noted.quota).unwrap_or(DEFAULT_QUOTA),
        })
    }

    fn control(&self, running: Option<&Running>, noted: &Settings) -> Result<Vec<PathBuf>> {
        if let Some(named) = &self.control {
            // The installer refuses cgroups that are missing.
            let canonical = |path: &PathBuf| fs::canonicalize(path).unwrap_or(path.clone());
            return Ok(named.iter().map(canonical).collect());
        }
        let noted = noted.control.as_deref().unwrap_or_default();
        let Some(running) = running else {
            noted.iter().try_for_each(|path| make_missing(path))?;
            return Ok(noted.to_vec());
        };
        let Some(there) = &running.control else {
            return Ok(Vec::new());
        };
        let there: Vec<_> = there.iter().flat_map(fs::canonicalize).collect();
        if !noted.is_empty() && there.iter().all(|path| noted.contains(path)) {
            noted.iter().try_for_each(|path| make_missing(path))?;
            return Ok(noted.to_vec());
        }
        if there.is_empty() {
            return Err(Error::refused("every control cgroup has been removed")
                .with_hint("name other cgroups with --control, or use `--control all`"));
        }
        Ok(there)
    }
}

/// At boot a control cgroup may not exist yet. systemd accepts that it exists when it wants to create it.
fn make_missing(cgroup: &Path) -> Result<()> {
    if cgroup.exists() {
        return Ok(());
    }
    let below = cgroup.ancestors().find(|path| path.exists());
    if below.is_none_or(|path| !path.join("cgroup.procs").exists()) {
        let message = format!("the control cgroup {} does not exist", cgroup.display());
        return Err(Error::refused(message)
            .with_hint("mount the cgroup v2 hierarchy there, or choose another with --control"));
    }
    fs::create_dir_all(cgroup).with_context(|| format!("cannot create {}", cgroup.display()))?;
    warn(&[format!(
        "created the control cgroup {}, which was missing",
        cgroup.display()
    )]);
    Ok(())
}

/// The notes contain only values that differ from the defaults.
pub fn to_be_noted(chosen: &InstallOptions) -> Settings {
    Settings {
        pool: Some(chosen.pool).filter(|pool| *pool != DEFAULT_POOL),
        quota: Some(chosen.quota).filter(|quota| *quota != DEFAULT_QUOTA),
        control: Some(chosen.control.clone()).filter(|control| !control.is_empty()),
    }
}
