//! Where commands write. The only place beside the transport that writes to stdout.

use std::io::{IsTerminal, Write};

use crate::{error::Error, redaction::redact};

/// Writes text to stdout. A reader that has gone away (`| head`) is no failure.
pub fn write(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Nobody is left to tell.
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// Writes a line to stdout.
pub fn line(text: &str) {
    write(&format!("{text}\n"));
}

/// Writes to stderr what a reader of stdout need not parse.
pub fn note(text: &str) {
    // Nobody is left to tell.
    let _ = std::io::stderr().write_all(redact(text).as_bytes());
}

/// How wide the terminal is; a comfortable width where there is none.
pub fn terminal_width() -> usize {
    const WIDTH_DEFAULT: usize = 120;
    let stdout = std::io::stdout();
    if !stdout.is_terminal() {
        return WIDTH_DEFAULT;
    }
    let size = rustix::termios::tcgetwinsize(&stdout).ok().map(|size| usize::from(size.ws_col));
    size.filter(|width| *width > 0).unwrap_or(WIDTH_DEFAULT)
}

/// Says on stderr why a command was not run.
pub fn complain(error: &Error) {
    // A hint is ours, and may show how a URL with a password is written.
    let mut text = format!("callboard: {}\n", redact(&error.message));
    if !error.did_you_mean.is_empty() {
        text.push_str(&format!("  did you mean {}?\n", redact(&error.did_you_mean.join(", "))));
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("  {hint}\n"));
    }
    // Nobody is left to tell.
    let _ = std::io::stderr().write_all(text.as_bytes());
}
