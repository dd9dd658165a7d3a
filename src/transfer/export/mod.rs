//! `export`: contacts as the service streams them, to a file that appears once they are all there.

mod new_file;

use crate::stop::Stop;
use crate::transfer::arguments::{Export, is_standard};
use crate::transfer::client::Client;
use crate::transfer::progress::Progress;
use crate::transfer::records::{RecordError, Records};
use crate::transfer::{Ended, TransferError};
use new_file::Part;
use std::io::{ErrorKind, Read, Write, stdout};

/// Copies what is read to where it belongs, so that it is written as it came, byte for byte.
struct Copying<R, W> {
    from: R,
    to: W,
    failed: Option<std::io::Error>,
}

impl<R: Read, W: Write> Read for Copying<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        if let Err(error) = self.to.write_all(buffer.get(..count).unwrap_or_default()) {
            self.failed = Some(error);
            return Err(ErrorKind::Other.into());
        }
        Ok(count)
    }
}

pub(super) fn run(arguments: &Export, stop: &Stop) -> Result<Ended, TransferError> {
    let format = arguments.chosen_format()?;
    let client = Client::new(&arguments.service)?;
    if is_standard(&arguments.file) {
        let count = bring(arguments, &client, stop, stdout().lock())?;
        // What is on standard output is the export.
        Progress::new("exporting", None).note(&format!("exported {}", contacts(count)));
        return Ok(Ended::Well);
    }
    let part = Part::of(&arguments.file, arguments.force)?;
    let count = bring(arguments, &client, stop, &part)?;
    part.keep()?;
    let text = format!("exported {} to {} ({})\n", contacts(count), arguments.file.display(), format.name());
    stdout().write_all(text.as_bytes())?;
    Ok(Ended::Well)
}

fn contacts(count: u64) -> String {
    if count == 1 { "1 contact".to_owned() } else { format!("{count} contacts") }
}

/// Brings them, and says how many.
fn bring(arguments: &Export, client: &Client, stop: &Stop, to: impl Write) -> Result<u64, TransferError> {
    let format = arguments.chosen_format()?;
    let mut query = vec![("format", format.name())];
    query.extend(arguments.filters.query());
    let answer = client.export(&query, format.kind().media_type());
    let answer = answer.map_err(|failure| TransferError::Failed(failure.why()))?;
    let mut copying = Copying { from: answer, to, failed: None };
    let counted = count(&mut copying, arguments, stop);
    if let Some(error) = copying.failed {
        return Err(TransferError::Failed(format!("cannot write {}: {error}", arguments.file.display())));
    }
    copying.to.flush()?;
    counted
}

fn count(from: impl Read, arguments: &Export, stop: &Stop) -> Result<u64, TransferError> {
    let format = arguments.chosen_format()?.kind();
    let (mut records, mut count, mut bytes) = (Records::new(from, format), 0, 0);
    let progress = Progress::new("exporting", None);
    let mut header = format == crate::transfer::arguments::Format::Csv;
    loop {
        if stop.is_set() {
            return Err(TransferError::Failed("interrupted: nothing was kept".into()));
        }
        match records.next() {
            Ok(Some(record)) => {
                bytes += record.bytes.len() as u64;
                count += u64::from(!std::mem::take(&mut header));
                progress.at(bytes, count, "contacts");
            }
            Ok(None) => return Ok(count),
            Err(RecordError::Read(error)) => {
                let why = format!("the export was cut short, nothing was kept; run it again ({error})");
                return Err(TransferError::Failed(why));
            }
            Err(error @ RecordError::Unreadable { .. }) => return Err(TransferError::Failed(error.to_string())),
        }
    }
}
