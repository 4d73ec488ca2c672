//! `/run/portkeep/fleet.toml`: the grants of this boot. It is written without a sync of the disk, as no
//! grant has to survive a power cut.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::store::document::{Record, parse};

/// The version of the format that this crate writes and reads.
const VERSION: u32 = 1;

const HEADER: &str = "\
# The grants of the fleet on this machine, written by its agent. Not to be edited; a boot ends them.

";

/// What the file has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grants {
    version: u32,
    /// The boot, as the directory may be on a disk.
    boot: String,
    #[serde(default, rename = "reservation", skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Record>,
}

impl Grants {
    /// The grants among some records.
    pub fn among(records: &[Record], boot: &str) -> Grants {
        let grants = records.iter().filter(|record| record.is_grant());
        Grants {
            version: VERSION,
            boot: boot.to_owned(),
            reservations: grants.cloned().collect(),
        }
    }

    /// Reads the text of the file. Those of another boot are none.
    pub fn parse(text: &str, boot: &str) -> Result<Vec<Record>, Error> {
        let grants: Grants = parse(text, VERSION)?;
        let mut records = grants.reservations;
        if grants.boot != boot {
            records.clear();
        }
        for record in &mut records {
            let Some(tag) = &mut record.fleet else {
                let message = format!("{} has no `fleet`", record.ports);
                return Err(Error::new(ErrorKind::Damaged, message));
            };
            tag.grant = true;
        }
        Ok(records)
    }

    /// The text.
    pub fn format(&self) -> Result<String, Error> {
        toml::to_string(self)
            .map(|text| format!("{HEADER}{text}"))
            .map_err(|error| Error::new(ErrorKind::InvalidInput, error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "version = 1\nboot = \"6f1c\"\n\n[[reservation]]\nports = \"61000-61001/tcp\"\n\
                        fleet = \"prod/g7f3a2#1\"\n";

    #[test]
    fn are_read_and_written() {
        let records = Grants::parse(TEXT, "6f1c").expect("grants");
        assert!(records[0].is_grant());
        let text = Grants::among(&records, "6f1c").format().expect("text");
        assert_eq!(text, format!("{HEADER}{TEXT}"));
        assert_eq!(Grants::parse(TEXT, "another").expect("grants"), []);
    }

    #[test]
    fn damage() {
        let kind = |text: &str| Grants::parse(text, "6f1c").expect_err("refused").kind();
        let later = "version = 2\nlater = true\n";
        assert_eq!(kind(later), ErrorKind::NewerVersion);
        let fleet = "fleet = \"prod/g7f3a2#1\"\n";
        for text in ["", "?", &TEXT.replace(fleet, ""), &TEXT[..TEXT.len() - 4]] {
            assert_eq!(kind(text), ErrorKind::Damaged, "{text:?}");
        }
    }
}
