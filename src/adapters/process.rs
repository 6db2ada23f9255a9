//! Which process this is, and whether another one still runs. The only file that reads `/proc`.

use std::fs;

use crate::{
    domain::sessions::{Place, Process, Sight},
    ports::sessions::Processes,
};

/// The machine this process runs on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Machine;

impl Processes for Machine {
    fn own(&self) -> Process {
        let pid = std::process::id();
        let start = match started(&pid.to_string()) {
            Sight::Started(start) => start,
            Sight::Nobody | Sight::Hidden => 0,
        };
        Process { place: place(), pid: i64::from(pid), start }
    }

    fn see(&self, place: &Place, pid: i64) -> Sight {
        if *place != self::place() {
            return Sight::Hidden;
        }
        match started(&pid.to_string()) {
            Sight::Hidden => exists(pid),
            seen => seen,
        }
    }
}

/// Nothing is known where there is no `/proc`; then only silence tells that a process is gone.
fn place() -> Place {
    let line = |path: &str| fs::read_to_string(path).map(|text| text.trim().replace('/', "")).unwrap_or_default();
    let machine =
        Some(line("/etc/machine-id")).filter(|id| !id.is_empty()).unwrap_or_else(|| line("/var/lib/dbus/machine-id"));
    let space = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    Place { machine, boot: line("/proc/sys/kernel/random/boot_id"), space }
}

/// When a process was started, in ticks since the machine was. One that has ended and that nobody has asked about counts as gone.
fn started(pid: &str) -> Sight {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return Sight::Hidden };
    // The name of the program stands in parentheses and may hold anything.
    let Some((_, rest)) = text.rsplit_once(") ") else { return Sight::Hidden };
    let mut fields = rest.split(' ');
    if matches!(fields.next(), Some("Z" | "X")) {
        return Sight::Nobody;
    }
    fields.nth(18).and_then(|ticks| ticks.parse().ok()).map_or(Sight::Hidden, Sight::Started)
}

/// Some machines hide the processes of other users.
fn exists(pid: i64) -> Sight {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else { return Sight::Hidden };
    match rustix::process::test_kill_process(pid) {
        Err(rustix::io::Errno::SRCH) => Sight::Nobody,
        _ => Sight::Hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::Machine;
    use crate::{
        domain::sessions::{Place, Sight},
        ports::sessions::Processes,
    };

    #[test]
    fn a_process_is_seen_while_it_runs_and_not_after() {
        let own = Machine.own();
        assert!(own.pid > 0 && own.start > 0 && !own.place.boot.is_empty() && !own.place.space.is_empty(), "{own:?}");
        assert_eq!(Machine.own(), own);
        assert_eq!(Machine.see(&own.place, own.pid), Sight::Started(own.start));
        assert_eq!(Machine.see(&Place::default(), own.pid), Sight::Hidden);
        let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i64::from(other.id());
        assert!(matches!(Machine.see(&own.place, pid), Sight::Started(start) if start >= own.start));
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(Machine.see(&own.place, pid), Sight::Nobody);
    }
}
