//! Which process this is, and whether another one still runs. The only file that reads `/proc`.

use std::{
    fs,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::{
        ops::Load,
        sessions::{Place, Process, Sight},
    },
    ports::process::{self, Processes},
};

/// The machine this process runs on.
#[derive(Debug, Default)]
pub struct Machine {
    /// When it was last asked what this process takes, and the processor time until then.
    asked: Mutex<Option<(Instant, Duration)>>,
}

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

impl process::Process for Machine {
    fn load(&self) -> Load {
        let (now, spent) = (Instant::now(), processor_time());
        let before = self.asked.lock().unwrap_or_else(PoisonError::into_inner).replace((now, spent));
        let (elapsed, spent) = match before {
            Some((asked, then)) => (now.duration_since(asked), spent.saturating_sub(then)),
            None => (since_start(), spent),
        };
        let cpu_percent = if elapsed.is_zero() { 0.0 } else { spent.as_secs_f64() / elapsed.as_secs_f64() * 100.0 };
        Load { cpu_percent, memory_mb: resident_mb() }
    }
}

/// Since this process began.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or_default(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// How long this process runs; nothing where there is no `/proc`.
fn since_start() -> Duration {
    let uptime = fs::read_to_string("/proc/uptime").ok();
    let uptime = uptime.and_then(|text| text.split(' ').next()?.parse::<f64>().ok()).unwrap_or_default();
    let Sight::Started(ticks) = started("self") else { return Duration::ZERO };
    #[expect(clippy::cast_precision_loss, reason = "hundredths of seconds since the machine was started")]
    let begun = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
    Duration::try_from_secs_f64(uptime - begun).unwrap_or_default()
}

/// Memory that this process holds; 0 where there is no `/proc`.
fn resident_mb() -> f64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a page is a few thousand bytes")]
    let page = rustix::param::page_size() as f64;
    pages * page / 1_048_576.0
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
        ports::process::Processes,
    };

    #[test]
    fn a_process_is_seen_while_it_runs_and_not_after() {
        let machine = Machine::default();
        let own = machine.own();
        assert!(own.pid > 0 && own.start > 0 && !own.place.boot.is_empty() && !own.place.space.is_empty(), "{own:?}");
        assert_eq!(machine.own(), own);
        assert_eq!(machine.see(&own.place, own.pid), Sight::Started(own.start));
        assert_eq!(machine.see(&Place::default(), own.pid), Sight::Hidden);
        let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = i64::from(other.id());
        assert!(matches!(machine.see(&own.place, pid), Sight::Started(start) if start >= own.start));
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(machine.see(&own.place, pid), Sight::Nobody);
    }
}
