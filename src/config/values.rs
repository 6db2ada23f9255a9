//! Values of settings, read by name.

use std::time::Duration;

use super::value;
use crate::error::Error;

/// Values by name; each was held to its kind before.
pub(super) struct Values<'a>(pub(super) &'a dyn Fn(&str) -> Option<&'a str>);

impl<'a> Values<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        (self.0)(name)
    }

    pub(super) fn switch(&self, name: &str) -> Result<bool, Error> {
        self.text(name).map_or(Ok(false), |text| value::switch(name, text))
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(value::list).unwrap_or_default()
    }

    pub(super) fn number(&self, name: &str, default: usize) -> Result<usize, Error> {
        let read = match self.text(name) {
            Some(text) => value::number(name, text, 0, u64::MAX)?,
            None => return Ok(default),
        };
        Ok(usize::try_from(read).unwrap_or(usize::MAX))
    }

    pub(super) fn bytes(&self, name: &str, default: usize) -> Result<usize, Error> {
        let read = match self.text(name) {
            Some(text) => value::bytes(name, text, 0, u64::MAX)?,
            None => return Ok(default),
        };
        Ok(usize::try_from(read).unwrap_or(usize::MAX))
    }

    pub(super) fn duration(&self, name: &str, default: Duration) -> Result<Duration, Error> {
        self.text(name).map_or(Ok(default), |text| value::duration(name, text, 0, u64::MAX))
    }
}
