//! `contacts import`: sends a file to the service, one batch after another.
//!
//! The rule: a batch is sent only after the batch before it has its final answer. So the line to continue at is always
//! known.

mod batches;
mod report;
mod response;
mod sender;

use crate::stop::Stop;
use crate::transfer::arguments::{Format, Import, is_standard};
use crate::transfer::client::Client;
use crate::transfer::progress::Progress;
use crate::transfer::{TransferError, TransferOutcome};
use batches::Batches;
use report::{RejectedFiles, Report};
use sender::{BatchSender, SendError};
use std::fs::File;
use std::io::{Cursor, Read};

/// How many bytes show the format of a file whose name does not.
const FORMAT_BYTES: u64 = 4096;

pub(super) fn run(arguments: &Import, stop: &Stop) -> Result<TransferOutcome, TransferError> {
    let client = Client::new(&arguments.service)?;
    let (mut source, length) = open(arguments)?;
    let mut start = Vec::new();
    let format =
        match arguments.named_format() {
            Some(format) => format,
            None => {
                source.by_ref().take(FORMAT_BYTES).read_to_end(&mut start).map_err(|error| {
                    TransferError::Failed(format!("cannot read {}: {error}", source_name(arguments)))
                })?;
                arguments.format_of_content(&start)?
            }
        };
    let source = Cursor::new(start).chain(source);
    let mut query = column_parameters(arguments, format)?;
    let mut files = RejectedFiles::new(arguments)?;
    if arguments.dry_run {
        query.push(("dry_run", "true"));
    }
    if arguments.skip_existing {
        query.push(("skip_existing", "true"));
    }
    let sender = BatchSender {
        client: &client,
        stop,
        media_type: format.media_type(),
        query,
        key: (!arguments.dry_run).then_some(&*arguments.key),
        retry_for: arguments.retry_for,
    };
    let mut batches = Batches::new(source, format, arguments.batch);
    let mut report = Report::new(arguments.dry_run);
    let result = send_all(arguments, &sender, &mut batches, length, (&mut report, &mut files));
    report.complete = result.is_ok();
    report.print(arguments)?;
    result?;
    Ok(if report.invalid == 0 { TransferOutcome::Complete } else { TransferOutcome::SomeInvalid })
}

fn send_all(
    arguments: &Import,
    sender: &BatchSender<'_>,
    batches: &mut Batches<impl Read>,
    length: Option<u64>,
    (report, files): (&mut Report, &mut RejectedFiles),
) -> Result<(), TransferError> {
    let activity = if arguments.dry_run { "checking" } else { "importing" };
    let (progress, mut bytes) = (Progress::new(activity, length), 0);
    let mut next_line = arguments.from_line;
    loop {
        let batch = match batches.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(()),
            Err(error) => return Err(stopped_at(next_line, &format!("{}: {error}", source_name(arguments)), report)),
        };
        bytes += batch.bytes() as u64;
        // A batch that contains the line is sent completely: the service knows the records that it has accepted.
        if batch.last_line < arguments.from_line {
            report.skip(batch.len());
            progress.update(bytes, report.processed(), "records");
            continue;
        }
        next_line = batch.first_line;
        match sender.send(&batch, &progress) {
            // If the files cannot be written, the next run must send this batch again.
            Ok(answer) => report
                .add(answer, (&batch, batches.header()), files, &progress)
                .map_err(|error| stopped_at(next_line, &error.to_string(), report))?,
            Err(SendError::Interrupted) => return Err(stopped_at(next_line, "interrupted", report)),
            Err(SendError::Failed { reason, not_accepted }) => {
                report.not_accepted = not_accepted;
                return Err(stopped_at(next_line, &reason, report));
            }
        }
        next_line = batch.last_line + 1;
        progress.update(bytes, report.processed(), "records");
    }
}

/// The error of an import that stops before the end of the file. It says how to continue.
fn stopped_at(line: u64, reason: &str, report: &mut Report) -> TransferError {
    report.continue_from_line = Some(line);
    TransferError::Failed(match report.processed() {
        0 => reason.to_owned(),
        _ => format!(
            "{reason}\ncontinue with the same command and --from-line {line}; to start from the beginning is also safe, \
             but slower"
        ),
    })
}

fn source_name(arguments: &Import) -> String {
    if is_standard(&arguments.file) { "standard input".to_owned() } else { arguments.file.display().to_string() }
}

/// The query parameters that name columns.
fn column_parameters(arguments: &Import, format: Format) -> Result<Vec<(&str, &str)>, TransferError> {
    let all = [
        ("name_column", &arguments.name_column),
        ("phone_column", &arguments.phone_column),
        ("email_column", &arguments.email_column),
    ];
    let given: Vec<_> = all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    if !given.is_empty() && format != Format::Csv {
        return Err(TransferError::Usage("only a CSV file has columns: remove the column options".into()));
    }
    Ok(given)
}

/// Opens the source. Also returns its length, if known.
fn open(arguments: &Import) -> Result<(Box<dyn Read>, Option<u64>), TransferError> {
    if is_standard(&arguments.file) {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let failed = |reason: String| TransferError::Failed(format!("cannot read {}: {reason}", arguments.file.display()));
    let file = File::open(&arguments.file).map_err(|error| failed(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    if metadata.is_dir() {
        return Err(failed("it is a folder".into()));
    }
    let length = metadata.is_file().then_some(metadata.len());
    Ok((Box::new(file), length))
}
