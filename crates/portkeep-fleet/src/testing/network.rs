use std::path::{Path, PathBuf};
use std::process::Command;

use super::machine::{Machine, done};
use super::{Etcd, Options};

/// Machines on a bridge, and etcd on an address of it. It is of this process's network namespace.
#[derive(Debug)]
pub struct Network {
    directory: PathBuf,
    cgroup: PathBuf,
    /// The engine.
    pub etcd: Etcd,
    /// The machines.
    pub machines: Vec<Machine>,
}

/// Where etcd listens.
pub const ENGINE: &str = "10.77.0.1";

impl Network {
    /// The bridge, and etcd. Files are below a directory, and installations at cgroups below one.
    pub fn new(directory: &Path, cgroup: &Path, members: usize, arguments: &[&str]) -> Network {
        let options = Options {
            members,
            arguments: arguments.iter().map(|it| (*it).to_owned()).collect(),
            ..Options::default()
        };
        Network::with(directory, cgroup, options)
    }

    /// [`new`](Self::new), with what else there is to choose about etcd.
    pub fn with(directory: &Path, cgroup: &Path, options: Options) -> Network {
        let ip = |words: &str| done(Command::new("ip").args(words.split(' ')));
        ip("link add bridge0 type bridge");
        ip(&format!("address add {ENGINE}/16 dev bridge0"));
        ip("link set bridge0 up");
        let etcd = Etcd::start(Options {
            address: ENGINE.to_owned(),
            ..options
        });
        Network {
            directory: directory.to_owned(),
            cgroup: cgroup.to_owned(),
            etcd,
            machines: Vec::new(),
        }
    }

    /// One more machine, with Portkeep enabled.
    pub fn add(&mut self, name: &str) -> &mut Machine {
        let number = u8::try_from(self.machines.len() + 1).expect("few machines");
        let machine = Machine::new(name, &self.directory, &self.cgroup, number);
        machine.enable();
        self.machines.push(machine);
        self.machines.last_mut().expect("the machine")
    }

    /// A machine, by its name.
    pub fn machine(&mut self, name: &str) -> &mut Machine {
        let mut machines = self.machines.iter_mut();
        let found = machines.find(|machine| machine.name() == name);
        found.expect("a machine of this name")
    }

    /// `portkeep-fleet` beside etcd, for whoever has this common name.
    pub fn operator(&self, name: &str) -> Command {
        let file = self.etcd.directory().join(format!("{name}.toml"));
        if !file.exists() {
            self.etcd.config_file(name, "");
        }
        let mut command = Command::new(super::machine::targets().join("portkeep-fleet"));
        command.env("PORTKEEP_FLEET_CONFIG", file);
        command
    }
}
