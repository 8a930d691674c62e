//! The `lacuna` program: the library's calls on the command line.

fn main() -> std::process::ExitCode {
    lacuna::cli::main()
}
