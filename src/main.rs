//! The `contacts` program. All of its code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    contacts::cli::main(std::env::args_os(), std::env::vars_os())
}
