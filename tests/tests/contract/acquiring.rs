//! Getting ports.

use portkeep::{ErrorKind, PortRange, Protocol};
use portkeep_tests::{Sandbox, libc};

use crate::backends::{each, request};

pub(crate) fn exact_ports_are_had(sandbox: &Sandbox) {
    each(sandbox, |backend| {
        let reservation = request()
            .udp()
            .range(61100..=61103)
            .acquire()
            .expect("acquire");
        assert_eq!(reservation.backend(), backend);
        assert_eq!((reservation.start(), reservation.end()), (61100, 61103));
        assert_eq!(reservation.count(), 4);
        assert!(reservation.ports().eq(61100..=61103));
        let range = PortRange::new(Protocol::Udp, 61100, 61103).expect("a range");
        assert_eq!(reservation.range(Protocol::Udp), Some(range));
        assert_eq!(reservation.range(Protocol::Tcp), None);
        assert!(reservation.ranges().eq([range]));
    });
}

pub(crate) fn any_ports_are_a_block_of_the_pool(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let first = request().count(3).acquire().expect("acquire");
        let second = request().count(4).acquire().expect("acquire");
        for reservation in [&first, &second] {
            assert!(reservation.start() >= 61000);
            assert_eq!(reservation.ports().len(), reservation.count().into());
        }
        assert!(first.end() < second.start() || second.end() < first.start());
        assert_eq!((first.count(), second.count()), (3, 4));
    });
}

pub(crate) fn an_alignment_is_kept(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let _odd = request().udp().count(1).acquire().expect("acquire");
        for align in [2, 8, 256] {
            let reservation = request().udp().count(2).align(align).acquire();
            assert!(reservation.expect("acquire").start().is_multiple_of(align));
        }
    });
}

pub(crate) fn several_protocols_have_the_same_numbers(sandbox: &Sandbox) {
    each(sandbox, |_| {
        let _tcp = request().tcp().port(61001).acquire().expect("acquire");
        let _udp = request().udp().port(61004).acquire().expect("acquire");
        let both = request().tcp().udp().count(3).acquire().expect("acquire");
        let ranges = [Protocol::Tcp, Protocol::Udp].map(|protocol| both.range(protocol));
        for range in ranges {
            let range = range.expect("ports of both");
            assert_eq!((range.start(), range.end()), (both.start(), both.end()));
            assert!(![61001, 61004].iter().any(|&port| range.contains(port)));
        }
    });
}

pub(crate) fn requests_that_make_no_sense(sandbox: &Sandbox) {
    each(sandbox, |_| {
        for senseless in [
            request().count(0),
            request().port(0),
            request().align(3),
            request().port(61001).align(2),
        ] {
            let error = senseless.acquire().expect_err("senseless");
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert_eq!(error.errno(), Some(libc::EINVAL));
        }
    });
}

pub(crate) fn privileged_ports_take_a_privilege(sandbox: &Sandbox) {
    each(sandbox, |_| {
        // SAFETY: geteuid(2) takes nothing and cannot fail.
        let is_root = unsafe { libc::geteuid() } == 0;
        match request().tcp().udp().range(80..=81).acquire() {
            Ok(reservation) => assert!(is_root, "{reservation:?}"),
            Err(error) => {
                assert!(!is_root, "{error}");
                assert_eq!(error.kind(), ErrorKind::NotPermitted);
                assert_eq!(error.errno(), Some(libc::EACCES));
                assert_eq!(error.conflict().and_then(|it| it.port), Some(80));
            }
        }
    });
}
