//! What another program prints, if it prints it soon.

use std::{
    io,
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    #[error("cannot be started: {0}")]
    Start(io::Error),
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("did not answer within {} s", .0.as_secs())]
    Hangs(Duration),
    #[error("printed more than {0} bytes")]
    TooMuch(usize),
    #[error("failed ({0})")]
    Failed(ExitStatus),
}

/// Its standard output. Whatever it started goes with it.
pub(crate) fn ask(
    command: &mut Command,
    limit: Duration,
    most: usize,
) -> Result<Vec<u8>, AskError> {
    let asked = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn();
    let mut child = asked.map_err(AskError::Start)?;
    let answer = read(&mut child, limit, most);
    if answer.is_err() {
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // It fails where all of them have ended.
        let _ended = group.map(|group| kill_process_group(group, Signal::KILL));
    }
    let status = child.wait().map_err(AskError::Read)?;
    let answer = answer?;
    if status.success() { Ok(answer) } else { Err(AskError::Failed(status)) }
}

fn read(child: &mut Child, limit: Duration, most: usize) -> Result<Vec<u8>, AskError> {
    let start = Instant::now();
    let mut answer = Vec::new();
    let Some(out) = child.stdout.take() else {
        return Err(AskError::Read(io::Error::other("its output is not connected")));
    };
    loop {
        let left = limit.saturating_sub(start.elapsed());
        let wait = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut ready = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::IN)];
        match poll(&mut ready, Some(&wait)) {
            Ok(0) => return Err(AskError::Hangs(limit)),
            Err(Errno::INTR) => continue,
            Err(error) => return Err(AskError::Read(error.into())),
            Ok(_) => {}
        }
        let mut chunk = [0; 4096];
        match rustix::io::read(&out, &mut chunk) {
            Ok(0) => break,
            Ok(len) => answer.extend_from_slice(chunk.get(..len).unwrap_or(&chunk)),
            Err(Errno::INTR) => {}
            Err(error) => return Err(AskError::Read(error.into())),
        }
        if answer.len() > most {
            return Err(AskError::TooMuch(most));
        }
    }
    // Who has closed his output need not end: the wait for that has a limit, too.
    loop {
        match child.try_wait() {
            Ok(None) if start.elapsed() > limit => return Err(AskError::Hangs(limit)),
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            Ok(Some(_)) => return Ok(answer),
            Err(error) => return Err(AskError::Read(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::{AskError, ask};

    fn shell(script: &str, limit: Duration) -> Result<String, AskError> {
        ask(Command::new("sh").args(["-c", script]), limit, 100)
            .map(|answer| String::from_utf8(answer).unwrap())
    }

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    fn an_answer_is_what_a_program_prints() {
        assert_eq!(shell("echo one; echo two >&2", LONG).unwrap(), "one\n");
        assert!(matches!(shell("echo one; exit 3", LONG), Err(AskError::Failed(_))));
        assert!(matches!(shell("yes", LONG), Err(AskError::TooMuch(100))));
        let nowhere = ask(&mut Command::new("/nowhere"), LONG, 100);
        assert!(matches!(nowhere, Err(AskError::Start(_))));
    }

    #[test]
    fn who_does_not_answer_is_not_waited_for() {
        for script in
            ["sleep 1000", "sleep 1000 & wait", "sleep 1000 & echo one", "exec >&-; sleep 1000"]
        {
            assert!(matches!(shell(script, SHORT), Err(AskError::Hangs(_))), "{script}");
        }
    }
}
