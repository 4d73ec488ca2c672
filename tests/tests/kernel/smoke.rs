use portkeep_tests::{Sandbox, enable, raw, sock, ports};
use std::os::fd::AsFd;
pub fn works(sandbox: &Sandbox) {
    let installed = enable::enable(sandbox);
    println!("{installed:?}");
    let s = sock::tcp4();
    println!("version {:?}", raw::version(s.as_fd()));
    println!("acq {:?}", raw::acquire4(s.as_fd(), 0, 8));
    println!("inst {:?}", raw::instance(s.as_fd()));
    println!("{}", std::fs::read_to_string(sandbox.bpffs().join("portkeep/reservations")).unwrap());
    let t = sock::tcp4();
    println!("bind {:?}", sock::bind_any(&t, 61003));
    println!("conflict {:?}", raw::conflict(t.as_fd()));
    let inst = raw::instance(s.as_fd()).unwrap();
    println!("assoc {:?}", raw::associate(t.as_fd(), inst.token));
    println!("bind {:?}", sock::bind_any(&t, 0));
    println!("port {:?}", sock::local_port(&t));
    println!("{:?}", portkeep_kernel::inspect(&enable::location(sandbox)));
    drop(s);
    println!("{}", std::fs::read_to_string(sandbox.bpffs().join("portkeep/reservations")).unwrap());
    println!("remove {:?}", portkeep_kernel::remove(&enable::location(sandbox)));
    let _ = ports::probe_free;
}
