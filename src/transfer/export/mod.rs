//! `contacts export`: writes the contacts that the service streams to a file. The file exists only when it is complete.

mod new_file;

use crate::stop::Stop;
use crate::transfer::arguments::{Export, Format, is_standard};
use crate::transfer::client::Client;
use crate::transfer::progress::Progress;
use crate::transfer::records::{ReadError, RecordReader};
use crate::transfer::{TransferError, TransferOutcome};
use new_file::TemporaryFile;
use std::io::{ErrorKind, Read, Write, stdout};

/// Writes all bytes that are read to an output, unchanged.
struct CopyingReader<R, W> {
    source: R,
    output: W,
    write_error: Option<std::io::Error>,
}

impl<R: Read, W: Write> Read for CopyingReader<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let Err(error) = self.output.write_all(buffer.get(..count).unwrap_or_default()) {
            self.write_error = Some(error);
            return Err(ErrorKind::Other.into());
        }
        Ok(count)
    }
}

pub(super) fn run(arguments: &Export, stop: &Stop) -> Result<TransferOutcome, TransferError> {
    let format = arguments.chosen_format()?;
    let client = Client::new(&arguments.service)?;
    if is_standard(&arguments.file) {
        let count = write_export(arguments, &client, stop, stdout().lock())?;
        // Standard output has the contacts, so the result goes to standard error.
        Progress::new("exporting", None).note(&format!("exported {}", contacts(count)));
        return Ok(TransferOutcome::Complete);
    }
    let file = TemporaryFile::create(&arguments.file, arguments.force)?;
    let count = write_export(arguments, &client, stop, &file)?;
    file.commit()?;
    let text = format!("exported {} to {} ({})\n", contacts(count), arguments.file.display(), format.name());
    stdout().write_all(text.as_bytes())?;
    Ok(TransferOutcome::Complete)
}

fn contacts(count: u64) -> String {
    if count == 1 { "1 contact".to_owned() } else { format!("{count} contacts") }
}

/// Requests the contacts and writes them to the output. Returns their number.
fn write_export(arguments: &Export, client: &Client, stop: &Stop, output: impl Write) -> Result<u64, TransferError> {
    let format = arguments.chosen_format()?;
    let mut query = vec![("format", format.name())];
    query.extend(arguments.filters.query());
    let answer = client.export(&query, format.format().media_type());
    let source = answer.map_err(|error| TransferError::Failed(error.into_reason()))?;
    let mut reader = CopyingReader { source, output, write_error: None };
    let count = count_contacts(&mut reader, format.format(), stop);
    if let Some(error) = reader.write_error {
        return Err(TransferError::Failed(format!("cannot write {}: {error}", arguments.file.display())));
    }
    reader.output.flush()?;
    count
}

/// Reads to the end and counts the contacts.
fn count_contacts(source: impl Read, format: Format, stop: &Stop) -> Result<u64, TransferError> {
    let (mut records, mut count, mut bytes) = (RecordReader::new(source, format), 0, 0);
    let progress = Progress::new("exporting", None);
    let mut is_header = format == Format::Csv;
    loop {
        if stop.is_set() {
            return Err(TransferError::Failed("interrupted: the export is incomplete".into()));
        }
        match records.next() {
            Ok(Some(record)) => {
                bytes += record.bytes.len() as u64;
                count += u64::from(!std::mem::take(&mut is_header));
                progress.update(bytes, count, "contacts");
            }
            Ok(None) => return Ok(count),
            Err(ReadError::Io(error)) => {
                let reason = format!("the answer is incomplete, so the export failed: run it again ({error})");
                return Err(TransferError::Failed(reason));
            }
            Err(error @ ReadError::Malformed { .. }) => return Err(TransferError::Failed(error.to_string())),
        }
    }
}
