//! Where output goes.

use std::io::{self, IsTerminal as _, Write as _};

use anstream::{AutoStream, ColorChoice};
use evenkeel_drift::Report;
use evenkeel_render::{Format, Screen, View, render};
use terminal_size::{Width, terminal_size_of};

use crate::args::{Color, Looks};
use crate::error::CliError;

/// Columns where there is no terminal.
const DEFAULT_WIDTH: usize = 80;
/// In a pipe or a file, `wide` breaks no lines that a person or a tool can still take.
const UNBROKEN: usize = 4096;

/// Standard output, as it was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Console {
    format: Format,
    screen: Screen,
}

impl Console {
    /// Looks at the terminal, NO_COLOR, and what was asked for.
    pub fn new(looks: &Looks) -> Self {
        let format = Format::from(looks.output);
        let stdout = io::stdout();
        let colour = match looks.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => AutoStream::choice(&stdout) != ColorChoice::Never,
        };
        let width = match terminal_size_of(&stdout).filter(|_| stdout.is_terminal()) {
            Some((Width(width), _)) => width.into(),
            None if format == Format::Wide => UNBROKEN,
            None => DEFAULT_WIDTH,
        };
        Self { format, screen: Screen { width, colour, ..Screen::default() } }
    }

    /// Shows it.
    pub fn show(&self, view: &impl View) -> Result<(), CliError> {
        self.print(&render(view, self.format, &self.screen)?)
    }

    /// Shows a report: with `all` what is hidden by default was asked for, with `hints` the collector can explain it.
    pub fn show_report(&self, report: &Report, all: bool, hints: bool) -> Result<(), CliError> {
        self.print(&render(report, self.format, &Screen { all, hints, ..self.screen })?)
    }

    /// Prints text as it is. A reader that has gone has what it wanted: that is success.
    pub fn print(&self, text: &str) -> Result<(), CliError> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Output(error)),
            _ => Ok(()),
        }
    }

    /// Says something beside the output: on standard error, so that the output can be redirected.
    pub fn note(&self, text: &str) {
        let _ = writeln!(io::stderr().lock(), "{text}");
    }
}
