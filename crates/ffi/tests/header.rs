//! `include/lacuna.h` says what `src/lib.rs` says. With `LACUNA_UPDATE_HEADER` set, it is written anew.

use std::fmt::Write as _;
use std::path::Path;

/// C's names of the types at the border.
const TYPES: [(&str, &str); 7] = [
    ("*const c_char", "const char *"),
    ("*const LacunaModel", "const LacunaModel *"),
    ("*mut LacunaModel", "LacunaModel *"),
    ("*const f64", "const double *"),
    ("*mut f64", "double *"),
    ("f64", "double "),
    ("u64", "uint64_t "),
];

fn c_type(rust: &str) -> &str {
    if rust == "c_int" {
        return "int ";
    }
    TYPES.iter().find(|(name, _)| *name == rust).unwrap_or_else(|| panic!("no C type for `{rust}`")).1
}

/// The prototype of one function, given all between `extern "C" fn` and the body.
fn prototype(signature: &str) -> String {
    let (name, rest) = signature.split_once('(').unwrap();
    let (arguments, result) = rest.rsplit_once(')').unwrap();
    let result = result.trim().strip_prefix("->").map_or("void ", |result| c_type(result.trim()));
    let arguments: Vec<String> = arguments
        .split(',')
        .map(str::trim)
        .filter(|argument| !argument.is_empty())
        .map(|argument| {
            let (name, kind) = argument.split_once(':').unwrap();
            format!("{}{}", c_type(kind.trim()), name.trim())
        })
        .collect();
    let arguments = if arguments.is_empty() { "void".into() } else { arguments.join(", ") };
    format!("{result}{}({arguments});", name.trim())
}

/// The header of a source text: the module's documentation, then every function with its own.
fn header(source: &str) -> String {
    let comment = |lines: &[&str]| {
        let mut text = String::new();
        for (i, line) in lines.iter().enumerate() {
            let start = if i == 0 { "/*" } else { " *" };
            let end = if i + 1 == lines.len() { " */" } else { "" };
            writeln!(text, "{}", format!("{start} {line}{end}").trim_end()).unwrap();
        }
        text.replace("[`", "").replace("`]", "").replace('`', "")
    };
    let module: Vec<&str> = source.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
    let blank = module.iter().rposition(|line| line.is_empty()).unwrap();
    let mut out = comment(&module[..blank]);
    out +=
        "#ifndef LACUNA_H\n#define LACUNA_H\n\n#include <stdint.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
    out += "/* A trained closure with a random stream of its own. */\ntypedef struct LacunaModel LacunaModel;\n";
    let mut before = Vec::new();
    let mut rest = source;
    while let Some((line, after)) = rest.split_once('\n') {
        if let Some(text) = line.strip_prefix("///") {
            before.push(text.trim());
        } else if let Some((_, start)) = line.split_once("extern \"C\" fn ").filter(|_| line.starts_with("pub ")) {
            let whole = format!("{start}\n{after}");
            let kept: Vec<&str> = before.iter().copied().take_while(|line| *line != "# Safety").collect();
            let end = kept.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
            writeln!(out, "\n{}{}", comment(&kept[..end]), prototype(whole.split_once('{').unwrap().0.trim())).unwrap();
            before.clear();
        } else if !line.starts_with("#[") {
            before.clear();
        }
        rest = after;
    }
    out + "\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n"
}

#[test]
fn the_header_is_that_of_the_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (path, wanted) = (folder.join("include/lacuna.h"), header(include_str!("../src/lib.rs")));
    if std::env::var_os("LACUNA_UPDATE_HEADER").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "{} is not that of src/lib.rs; set LACUNA_UPDATE_HEADER to write it", path.display());
    assert_eq!(wanted.matches(");\n").count(), 10, "{wanted}");
}
