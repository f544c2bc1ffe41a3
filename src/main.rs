//! The program: see `touchtone --help`.

fn main() -> std::process::ExitCode {
    touchtone::cli::run()
}
