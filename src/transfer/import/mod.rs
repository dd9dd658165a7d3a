//! `import`: a file, batch after batch, to the service.
//!
//! The rule: a batch is begun only when the one before it is settled, so the line to go on with is always known.

mod batches;
mod delivery;
mod report;
mod response;

use crate::stop::Stop;
use crate::transfer::arguments::{Format, Import, is_standard};
use crate::transfer::client::Client;
use crate::transfer::progress::Progress;
use crate::transfer::{Ended, TransferError};
use batches::{Batch, Batches};
use delivery::{Delivery, Unsettled};
use report::{Rejects, Report};
use std::fs::File;
use std::io::Read;

pub(super) fn run(arguments: &Import, stop: &Stop) -> Result<Ended, TransferError> {
    let format = arguments.chosen_format()?;
    let client = Client::new(&arguments.service)?;
    let columns = columns(arguments, format)?;
    let (source, length) = open(arguments)?;
    let mut rejects = Rejects::new(arguments)?;
    let mut query = columns;
    if arguments.dry_run {
        query.push(("dry_run", "true"));
    }
    let delivery = Delivery {
        client: &client,
        stop,
        media_type: format.media_type(),
        query,
        dry_run: arguments.dry_run,
        retry_for: arguments.retry_for,
    };
    let mut batches = Batches::new(source, format, arguments.batch);
    let mut report = Report::new(arguments.dry_run);
    let result = send(arguments, &delivery, &mut batches, length, (&mut report, &mut rejects));
    report.complete = result.is_ok();
    report.put(arguments)?;
    result?;
    Ok(if report.invalid == 0 { Ended::Well } else { Ended::SomeInvalid })
}

fn send(
    arguments: &Import,
    delivery: &Delivery<'_>,
    batches: &mut Batches<impl Read>,
    length: Option<u64>,
    (report, rejects): (&mut Report, &mut Rejects),
) -> Result<(), TransferError> {
    let what = if arguments.dry_run { "checking" } else { "importing" };
    let failed = |report: &mut Report, why: &str, line| {
        report.go_on_from_line = Some(line);
        let how = "go on with the same command and --from-line";
        TransferError::Failed(match report.passed() {
            0 => why.to_owned(),
            _ => format!("{why}\n{how} {line}; from the beginning is as safe, only slower"),
        })
    };
    let (progress, mut bytes) = (Progress::new(what, length), 0);
    // Said at the end, whatever the end is.
    let mut next_line = arguments.from_line;
    loop {
        let batch = match batches.next() {
            Ok(Some(batch)) => batch,
            Ok(None) => return Ok(()),
            Err(why) => {
                return Err(failed(report, &format!("{}: {why}", name(arguments)), next_line));
            }
        };
        bytes += batch.bytes() as u64;
        // One that holds the line is sent whole: its key is that of the whole.
        if batch.last_line < arguments.from_line {
            report.skip(batch.len());
            progress.at(bytes, report.passed(), "records");
            continue;
        }
        next_line = batch.first_line;
        match deliver(delivery, &batch, &progress) {
            // Not written, they are to be seen again.
            Ok(answer) => report
                .add(answer, (&batch, batches.header()), rejects, &progress)
                .map_err(|error| failed(report, &error.to_string(), next_line))?,
            Err(unsettled) => {
                let why = match unsettled {
                    Unsettled::Interrupted => "interrupted".to_owned(),
                    Unsettled::Failed { why, not_accepted } => {
                        report.not_accepted = not_accepted;
                        why
                    }
                };
                return Err(failed(report, &why, next_line));
            }
        }
        next_line = batch.last_line + 1;
        progress.at(bytes, report.passed(), "records");
    }
}

fn deliver(delivery: &Delivery<'_>, batch: &Batch, progress: &Progress) -> Result<response::Answer, Unsettled> {
    if delivery.stop.is_set() {
        return Err(Unsettled::Interrupted);
    }
    delivery.deliver(batch, progress)
}

fn name(arguments: &Import) -> String {
    if is_standard(&arguments.file) { "standard input".to_owned() } else { arguments.file.display().to_string() }
}

fn columns(arguments: &Import, format: Format) -> Result<Vec<(&str, &str)>, TransferError> {
    let all = [
        ("name_column", &arguments.name_column),
        ("phone_column", &arguments.phone_column),
        ("email_column", &arguments.email_column),
    ];
    let named: Vec<_> = all.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    if !named.is_empty() && format != Format::Csv {
        return Err(TransferError::Usage("only a CSV has columns to name".into()));
    }
    Ok(named)
}

/// The source, and its length if that is known.
fn open(arguments: &Import) -> Result<(Box<dyn Read>, Option<u64>), TransferError> {
    if is_standard(&arguments.file) {
        return Ok((Box::new(std::io::stdin()), None));
    }
    let cannot = |why: String| TransferError::Failed(format!("cannot read {}: {why}", arguments.file.display()));
    let file = File::open(&arguments.file).map_err(|error| cannot(error.to_string()))?;
    let about = file.metadata().map_err(|error| cannot(error.to_string()))?;
    if about.is_dir() {
        return Err(cannot("it is a folder".into()));
    }
    let length = about.is_file().then_some(about.len());
    Ok((Box::new(file), length))
}
