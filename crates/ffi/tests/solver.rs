//! A program in C, compiled and linked as a user would, draws from a closure.

mod common;

use std::path::Path;
use std::process::Command;

#[test]
fn a_program_in_c_draws_and_is_told_what_it_does_wrong() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    // Cargo puts the library beside the tests.
    let executable = std::env::current_exe().unwrap();
    let libraries = executable.parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("solver");
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let mut compile = Command::new(&compiler);
    compile.args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-I"]).arg(here.join("include"));
    compile
        .arg(here.join("tests/solver.c"))
        .arg("-L")
        .arg(libraries)
        .arg(format!("-Wl,-rpath,{}", libraries.display()));
    let compiled = compile.args(["-llacuna_ffi", "-lm", "-o"]).arg(&program).output();
    let compiled = compiled.unwrap_or_else(|error| panic!("{compiler}, which Rust links with, too: {error}"));
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    // Cargo's paths for libraries would lead to that of an older build.
    let mut run = Command::new(&program);
    run.arg(common::checkpoint(folder.path()).to_str().unwrap()).env_remove("LD_LIBRARY_PATH");
    let ran = run.output().unwrap();
    let (told, said) = (String::from_utf8_lossy(&ran.stderr), String::from_utf8_lossy(&ran.stdout));
    assert!(ran.status.success(), "{}: {told}", ran.status);
    assert_eq!(said.trim(), "a solver in C drew from the closure");
}
