//! Where output goes.

use std::fs;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use anstream::{AutoStream, ColorChoice};
use evenkeel_drift::Report;
use evenkeel_render::watch::Seen;
use evenkeel_render::{Format, Screen, View, render};
use terminal_size::{Width, terminal_size_of};
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::args::{Color, Looks};
use crate::error::CliError;

/// Columns where there is no terminal.
const DEFAULT_WIDTH: usize = 80;
/// In a pipe or a file, `wide` breaks no lines that a person or a tool can still take.
const UNBROKEN: usize = 4096;

/// A format, and the file that it goes to.
#[derive(Debug, Clone)]
struct Output {
    format: Format,
    /// Standard output without one.
    file: Option<PathBuf>,
}

impl Output {
    /// `FORMAT` or `FORMAT=FILE`.
    fn parse(text: &str) -> Result<Self, CliError> {
        let (word, file) = match text.split_once('=') {
            Some((word, file)) => (word, Some(file.into())),
            None => (text, None),
        };
        let format = Format::ALL.into_iter().find(|format| format.word() == word);
        format.map(|format| Self { format, file }).ok_or_else(|| CliError::NoFormat { word: word.to_owned() })
    }
}

/// Standard output and files, as they were asked for.
#[derive(Debug, Clone)]
pub struct Console {
    outputs: Vec<Output>,
    screen: Screen,
    is_terminal: bool,
}

impl Console {
    /// Looks at the terminal, NO_COLOR, and what was asked for.
    pub fn new(looks: &Looks) -> Result<Self, CliError> {
        let Looks { output, color } = looks;
        let mut outputs = output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>, _>>()?;
        // Files are written beside what is shown.
        if outputs.iter().all(|output| output.file.is_some()) {
            outputs.insert(0, Output { format: Format::Table, file: None });
        }
        let stdout = io::stdout();
        let colour = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => AutoStream::choice(&stdout) != ColorChoice::Never,
        };
        let terminal = terminal_size_of(&stdout).filter(|_| stdout.is_terminal());
        let width = terminal.map_or(DEFAULT_WIDTH, |(Width(width), _)| width.into());
        let screen = Screen { width, colour, ..Screen::default() };
        Ok(Self { outputs, screen, is_terminal: terminal.is_some() })
    }

    /// Shows it.
    pub fn show(&self, view: &mut impl View) -> Result<(), CliError> {
        self.render(view, &self.screen)
    }

    /// Shows a report: with `all` what is hidden by default was asked for, with `hints` the collector can explain it.
    pub fn show_report(&self, report: &mut Report, all: bool, hints: bool) -> Result<(), CliError> {
        self.render(report, &Screen { all, hints, ..self.screen })
    }

    /// In every form that was asked for; nothing is shown when one of them is not to be had.
    fn render(&self, view: &mut impl View, screen: &Screen) -> Result<(), CliError> {
        view.arrange();
        let mut shown = Vec::new();
        for Output { format, file } in &self.outputs {
            let on_terminal = file.is_none() && self.is_terminal;
            let width = match (on_terminal, format) {
                (true, _) => screen.width,
                (false, Format::Wide) => UNBROKEN,
                (false, _) => DEFAULT_WIDTH,
            };
            let colour = screen.colour && file.is_none();
            shown.push((file, render(view, *format, &Screen { width, colour, ..*screen })?));
        }
        for (file, text) in &shown {
            if let Some(path) = file {
                fs::write(path, text).map_err(|source| CliError::Write { path: path.clone(), source })?;
            }
        }
        for (_, text) in shown.iter().filter(|(file, _)| file.is_none()) {
            self.print(text)?;
        }
        Ok(())
    }

    /// Shows one of many that come one by one: in JSON a line each. `false`: the reader has gone.
    pub fn show_seen(&self, seen: &Seen) -> Result<bool, CliError> {
        let is_json =
            self.outputs.iter().any(|output| output.file.is_none() && output.format == Format::Json);
        let width = if self.is_terminal { self.screen.width } else { DEFAULT_WIDTH };
        let text = if is_json { seen.json() } else { seen.lines(&Screen { width, ..self.screen }) };
        let mut stdout = io::stdout().lock();
        match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(CliError::Output(error)),
            Ok(()) => Ok(true),
        }
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

/// Comes to an end when nobody reads standard output any more: a pipe whose other end was closed, as by `head`. Never for
/// a file or a terminal.
pub async fn reader_gone() {
    // Only waited for, never written through: it stays as blocking as it was. A file cannot be waited for, and has no
    // reader to lose.
    let stdout = io::stdout().as_fd().try_clone_to_owned();
    if let Ok(stdout) = stdout.and_then(Sender::from_owned_fd_unchecked)
        && stdout.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending::<()>().await;
}
