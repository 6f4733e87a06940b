//! The command line: everything is in [`nearfield::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    nearfield::cli::main()
}
