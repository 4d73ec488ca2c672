//! The `settings` map: what the operator chose, and which version is installed.

use std::path::Path;

use libbpf_rs::{MapCore, MapFlags, MapHandle};

use crate::error::{Error, ErrorKind};
use crate::install::layout::Layout;
use crate::install::links;
use crate::install::skeleton::types;

/// Which layout of the maps this crate knows.
const LAYOUT_VERSION: u32 = types::portkeep_layout::PORTKEEP_LAYOUT_VERSION.0;

/// What an unprivileged user may hold, in ports.
pub const DEFAULT_QUOTA: u32 = 4096;

/// The one value of the map, `struct settings` of `bpf/maps.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub abi_version: u32,
    pub layout_version: u32,
    pub pool: (u16, u16),
    pub quota: u32,
    /// Bits that the BPF file system's root got from the installer.
    pub added_mode: u32,
    /// How many ranges of subordinate user ids the map of that name has.
    pub subordinates: u32,
}

const SIZE: usize = size_of::<types::settings>();

impl Settings {
    pub fn new(pool: (u16, u16)) -> Settings {
        Settings {
            abi_version: portkeep::abi::PORTKEEP_ABI_VERSION,
            layout_version: LAYOUT_VERSION,
            pool,
            quota: DEFAULT_QUOTA,
            added_mode: 0,
            subordinates: 0,
        }
    }

    fn to_bytes(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let mut put = |offset: usize, field: &[u8]| {
            bytes[offset..offset + field.len()].copy_from_slice(field);
        };
        use std::mem::offset_of;
        use types::settings as layout;
        put(
            offset_of!(layout, abi_version),
            &self.abi_version.to_ne_bytes(),
        );
        put(
            offset_of!(layout, layout_version),
            &self.layout_version.to_ne_bytes(),
        );
        put(offset_of!(layout, pool_start), &self.pool.0.to_ne_bytes());
        put(offset_of!(layout, pool_end), &self.pool.1.to_ne_bytes());
        put(offset_of!(layout, quota), &self.quota.to_ne_bytes());
        put(
            offset_of!(layout, added_mode),
            &self.added_mode.to_ne_bytes(),
        );
        put(
            offset_of!(layout, subordinates),
            &self.subordinates.to_ne_bytes(),
        );
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Settings> {
        use std::mem::offset_of;
        use types::settings as layout;
        let bytes: &[u8; SIZE] = bytes.try_into().ok()?;
        let long = |offset: usize| u32::from_ne_bytes([0, 1, 2, 3].map(|i| bytes[offset + i]));
        let short = |offset: usize| u16::from_ne_bytes([0, 1].map(|i| bytes[offset + i]));
        Some(Settings {
            abi_version: long(offset_of!(layout, abi_version)),
            layout_version: long(offset_of!(layout, layout_version)),
            pool: (
                short(offset_of!(layout, pool_start)),
                short(offset_of!(layout, pool_end)),
            ),
            quota: long(offset_of!(layout, quota)),
            added_mode: long(offset_of!(layout, added_mode)),
            subordinates: long(offset_of!(layout, subordinates)),
        })
    }

    pub fn write(self, map: &impl MapCore) -> Result<(), Error> {
        map.update(&0u32.to_ne_bytes(), &self.to_bytes(), MapFlags::ANY)
            .map_err(|error| Error::bpf("writing the settings", error))
    }

    /// Those of a working installation of this version. `None` if it does not work, as when an
    /// installation or a removal was interrupted.
    pub fn of_working(layout: &Layout) -> Result<Option<Settings>, Error> {
        let map = layout.map("settings");
        if !map.exists() || links::attached_to(layout).is_none() {
            return Ok(None);
        }
        let settings = Settings::read(&map)?;
        settings.require_own_version()?;
        Ok(Some(settings))
    }

    /// Those of a pinned map. A map of another size is some other version's.
    pub fn read(path: &Path) -> Result<Settings, Error> {
        let map = MapHandle::from_pinned_path(path)
            .map_err(|error| Error::bpf(format!("opening {}", path.display()), error))?;
        let bytes = map
            .lookup(&0u32.to_ne_bytes(), MapFlags::ANY)
            .map_err(|error| Error::bpf("reading the settings", error))?
            .unwrap_or_default();
        Settings::from_bytes(&bytes).ok_or_else(foreign)
    }

    /// Fails if this crate must not touch an installation with these settings. All zero is an
    /// installation that was interrupted before it wrote them.
    fn require_own_version(&self) -> Result<(), Error> {
        let own = Settings::new(self.pool);
        let interrupted = (self.abi_version, self.layout_version) == (0, 0);
        if interrupted
            || (self.abi_version, self.layout_version) == (own.abi_version, own.layout_version)
        {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::ForeignVersion,
            format!(
                "the installed kernel part has ABI version {} and layout version {}, \
                 this program has {} and {}",
                self.abi_version, self.layout_version, own.abi_version, own.layout_version
            ),
        )
        .with_hint("run `portkeep disable`, which also ends every reservation, then enable again"))
    }
}

/// What is pinned there is not of this version.
pub fn foreign() -> Error {
    Error::new(
        ErrorKind::ForeignVersion,
        "the installed kernel part has another version",
    )
    .with_hint("run `portkeep disable`, which also ends every reservation, then enable again")
}

#[cfg(test)]
mod tests {
    use portkeep_host::DEFAULT_POOL;

    use super::*;

    #[test]
    fn settings_survive_the_map() {
        let settings = Settings {
            added_mode: 0o011,
            ..Settings::new(DEFAULT_POOL)
        };
        assert_eq!(Settings::from_bytes(&settings.to_bytes()), Some(settings));
        assert_eq!(Settings::from_bytes(&[0; 3]), None);
    }

    #[test]
    fn another_version_is_refused() {
        let mut settings = Settings::new(DEFAULT_POOL);
        settings.require_own_version().expect("the own version");
        settings.abi_version = 2;
        let error = settings.require_own_version().expect_err("a foreign ABI");
        assert_eq!(error.kind(), ErrorKind::ForeignVersion);
    }
}
