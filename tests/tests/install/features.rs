//! What the kernel has.

use portkeep_admin::{check_features, features};
use portkeep_tests::{Sandbox, is_linux};

/// A distribution's or an emulated kernel that is new enough and lacks something anyway, by its
/// configuration or by a regression, is named with what it lacks.
pub(crate) fn what_this_version_has_is_there(_: &Sandbox) {
    let features = features().expect("try the features");
    assert!(features.len() > 8, "{features:?}");
    let lacking: Vec<_> = features
        .iter()
        .filter(|feature| !feature.is_present && is_linux(feature.since))
        .collect();
    assert!(lacking.is_empty(), "{lacking:#?}");
    let all = features.iter().all(|feature| feature.is_present);
    assert_eq!(check_features().is_ok(), all);
}
