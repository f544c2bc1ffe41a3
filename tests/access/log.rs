//! Everything that is logged in this process, by whomever, at every level.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex};

use tracing_subscriber::fmt::format::FmtSpan;

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    log
});

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Begins to write down, if nobody did.
pub fn begin() {
    LazyLock::force(&LOG);
}

/// The first line so far that holds `words`, by whichever test it was logged.
pub fn line(words: &str) -> Option<String> {
    begin();
    let log = LOG.0.lock().unwrap();
    let text = String::from_utf8_lossy(&log);
    text.lines().find(|line| line.contains(words)).map(str::to_owned)
}
