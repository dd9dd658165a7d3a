//! The `contacts` program; everything is in the library beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    contacts::cli::main(std::env::args_os(), std::env::vars_os())
}
