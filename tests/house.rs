//! The plan of the house: rooms depend to the left, files depend on each other without circles, the core stays small.
//!
//! Nothing is compiled here: the sources of both crates are read as tokens, and their paths are resolved to files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Most lines of a file that one can read in one sitting.
const MOST_LINES: usize = 500;

/// Most re-exports in a row between a path and its item.
const REEXPORTS: usize = 5;

/// A crate's sources.
struct Crate {
    /// By module path: `[]` is lib.rs, `["flow", "core"]` is flow/core/mod.rs or flow/core.rs.
    files: BTreeMap<Vec<String>, File>,
}

/// What a file says about others.
struct File {
    name: String,
    /// Paths in use and elsewhere, from the root of the crate. Those of re-exports are not among them.
    paths: Vec<Vec<String>>,
    /// What names that it imports or re-exports stand for.
    names: BTreeMap<String, Vec<String>>,
    /// Modules of which it imports or re-exports everything.
    globs: Vec<Vec<String>>,
    /// Items that it defines.
    defined: BTreeSet<String>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` that end in `.rs`.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Identifiers, `::` and single signs of a source; comments (doc comments, too) and literals are left out.
fn tokens(text: &str) -> Vec<String> {
    let signs: Vec<char> = text.chars().collect();
    let at = |i: usize| signs.get(i).copied().unwrap_or('\0');
    let (mut found, mut i) = (Vec::new(), 0);
    while i < signs.len() {
        let hashes = (i + 1..).take_while(|&k| at(k) == '#').count();
        match at(i) {
            '/' if at(i + 1) == '/' => i = (i..signs.len()).find(|&k| at(k) == '\n').unwrap_or(signs.len()),
            // A raw string ends with as many hashes as it began with.
            'r' if at(i + 1 + hashes) == '"' => {
                let end = |&k: &usize| at(k) == '"' && (1..=hashes).all(|h| at(k + h) == '#');
                i = (i + hashes + 2..signs.len()).find(end).unwrap_or(signs.len()) + hashes + 1;
            }
            '"' => {
                i += 1;
                while i < signs.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // Characters, not lifetimes.
            '\'' if at(i + 1) == '\\' => i = (i + 3..signs.len()).find(|&k| at(k) == '\'').unwrap_or(i) + 1,
            '\'' if at(i + 2) == '\'' => i += 3,
            ':' if at(i + 1) == ':' => {
                found.push("::".to_string());
                i += 2;
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = (i..).find(|&k| !(at(k).is_alphanumeric() || at(k) == '_')).unwrap();
                found.push(signs[i..end].iter().collect());
                i = end;
            }
            c => {
                if !c.is_whitespace() {
                    found.push(c.to_string());
                }
                i += 1;
            }
        }
    }
    found
}

/// Where the item or block that begins at `from` ends: behind its `;` or its closing brace.
fn end_of_item(tokens: &[String], from: usize) -> usize {
    let mut depth = 0usize;
    for (i, token) in tokens.iter().enumerate().skip(from) {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth <= 1 => return i + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

/// Tokens without what is compiled for tests only, and the modules declared among those.
fn shipped(tokens: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut kept, mut test_modules, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if tokens[i..].iter().map(String::as_str).take(7).eq(["#", "[", "cfg", "(", "test", ")", "]"]) {
            let end = end_of_item(tokens, i + 7);
            if let Some(k) = (i..end).find(|&k| tokens[k] == "mod") {
                test_modules.push(tokens[k + 1].clone());
            }
            i = end;
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    (kept, test_modules)
}

/// The paths of a `use` tree, with the name that each gets; `*` for all.
fn use_tree(tokens: &[String], i: &mut usize, prefix: &[String], found: &mut Vec<(Vec<String>, String)>) {
    let mut path = prefix.to_vec();
    loop {
        match tokens[*i].as_str() {
            "{" => {
                *i += 1;
                while tokens[*i] != "}" {
                    use_tree(tokens, i, &path, found);
                    if tokens[*i] == "," {
                        *i += 1;
                    }
                }
                *i += 1;
                return;
            }
            "::" => *i += 1,
            "," | "}" | ";" => break,
            "as" => {
                found.push((path, tokens[*i + 1].clone()));
                *i += 2;
                return;
            }
            part => {
                path.push(part.to_string());
                *i += 1;
            }
        }
    }
    if path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let name = path.last().cloned().unwrap_or_default();
    found.push((path, name));
}

/// A path as written in `module` from the root of its crate; `None` if it leads out of it.
fn absolute(path: &[String], module: &[String], modules: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut base = module.to_vec();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &path[1..];
        }
        "self" => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|part| part == "super") {
                base.pop()?;
                rest = &rest[1..];
            }
        }
        child => {
            let inside = [module, &[child.to_string()]].concat();
            if !modules.contains(&inside) {
                return None;
            }
        }
    }
    base.extend_from_slice(rest);
    Some(base)
}

impl File {
    fn read(name: String, module: &[String], tokens: &[String], modules: &BTreeSet<Vec<String>>) -> Self {
        let mut file =
            Self { name, paths: Vec::new(), names: BTreeMap::new(), globs: Vec::new(), defined: BTreeSet::new() };
        let mut i = 0;
        while i < tokens.len() {
            let before = if i == 0 { "" } else { tokens[i - 1].as_str() };
            match tokens[i].as_str() {
                // Not the `use<>` of a captured lifetime.
                "use" if tokens[i + 1] != "<" => {
                    let public = before == "pub" || before == ")";
                    let mut tree = Vec::new();
                    i += 1;
                    use_tree(tokens, &mut i, &[], &mut tree);
                    for (path, name) in tree {
                        let Some(path) = absolute(&path, module, modules) else { continue };
                        if name == "*" {
                            file.globs.push(path[..path.len() - 1].to_vec());
                        } else {
                            file.names.insert(name, path.clone());
                        }
                        if !public {
                            file.paths.push(path);
                        }
                    }
                }
                "fn" | "struct" | "enum" | "trait" | "const" | "static" | "type" | "macro_rules" => {
                    let name = if tokens[i + 1] == "!" { i + 2 } else { i + 1 };
                    file.defined.insert(tokens[name].clone());
                    i += 1;
                }
                _ => {
                    let mut path = vec![tokens[i].clone()];
                    let start = i;
                    while tokens.get(i + 1).is_some_and(|next| next == "::") && i + 2 < tokens.len() {
                        path.push(tokens[i + 2].clone());
                        i += 2;
                    }
                    i += 1;
                    let begins = before != "::" && before != "$" && i > start + 1;
                    if let (true, Some(path)) = (begins, absolute(&path, module, modules)) {
                        file.paths.push(path);
                    }
                }
            }
        }
        file
    }
}

impl Crate {
    fn read(source: &str) -> Self {
        let folder = root().join(source);
        let (mut texts, mut tests) = (BTreeMap::new(), BTreeSet::new());
        for path in sources(&folder) {
            let name = path.strip_prefix(&folder).unwrap().to_str().unwrap().to_string();
            let mut module: Vec<String> = name.trim_end_matches(".rs").split('/').map(String::from).collect();
            if module.last().is_some_and(|last| last == "mod" || last == "lib") {
                module.pop();
            }
            if name == "main.rs" {
                continue;
            }
            let (tokens, of_tests) = shipped(&tokens(&std::fs::read_to_string(&path).unwrap()));
            tests.extend(of_tests.into_iter().map(|test| [module.as_slice(), &[test]].concat()));
            texts.insert(module, (name, tokens));
        }
        texts.retain(|module, _| !tests.contains(module));
        let modules: BTreeSet<Vec<String>> = texts.keys().cloned().collect();
        let file = |(module, (name, tokens)): (Vec<String>, (String, Vec<String>))| {
            let file = File::read(name, &module, &tokens, &modules);
            (module, file)
        };
        Self { files: texts.into_iter().map(file).collect() }
    }

    /// The module in whose file the item at the end of `path` is defined: imports and re-exports on the way are followed.
    /// `None` if that is another crate.
    fn home(&self, path: &[String], reexports: usize) -> Option<Vec<String>> {
        let inside = (0..=path.len()).rev().find(|&len| self.files.contains_key(&path[..len]))?;
        let (module, rest) = path.split_at(inside);
        let file = &self.files[module];
        let Some(item) = rest.first() else { return Some(module.to_vec()) };
        if file.defined.contains(item) || reexports == 0 {
            return Some(module.to_vec());
        }
        if let Some(target) = file.names.get(item) {
            return self.home(target, reexports - 1);
        }
        let given = |glob: &&Vec<String>| self.files.get(*glob).is_some_and(|file| file.defined.contains(item));
        if let Some(glob) = file.globs.iter().find(given) {
            return Some(glob.clone());
        }
        // What the root does not define comes from the other crate.
        (!module.is_empty()).then(|| module.to_vec())
    }

    /// The arrows between files: an import points to the file that defines the item, whoever re-exports it. A re-export is
    /// no arrow, nor is the declaration of a module, nor what a module takes from the file that declares it: a `mod.rs` may put
    /// its parts together and hold what they share.
    fn arrows(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, file) in &self.files {
            let to = arrows.entry(&file.name).or_default();
            let homes = file.paths.iter().filter_map(|path| self.home(path, REEXPORTS));
            to.extend(homes.filter(|home| !module.starts_with(home)).map(|home| self.files[&home].name.as_str()));
        }
        arrows
    }
}

/// The rooms of a crate in the order that its lib.rs states: names in backticks between "Map" and the end of that sentence.
fn stated_order(lib: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(lib)).unwrap();
    let map: Vec<&str> = text
        .lines()
        .skip_while(|line| *line != "//! # Map")
        .skip(1)
        .take_while(|line| line.trim() != "//!")
        .map(|line| line.trim_start_matches("//! "))
        .collect();
    let map = map.join(" ");
    let rooms: Vec<String> = map.split('`').skip(1).step_by(2).map(String::from).collect();
    assert!(rooms.len() > 5, "{lib} has no map: {map}");
    rooms.into_iter().filter(|name| !name.starts_with("lacuna")).collect()
}

#[test]
fn no_room_imports_one_to_its_right() {
    let core = stated_order("crates/core/src/lib.rs");
    let whole = stated_order("src/lib.rs");
    assert_eq!(whole[..core.len()], core, "the maps of the two crates differ");
    let place = |room: &str, file: &str| {
        let place = whole.iter().position(|stated| stated == room);
        place.unwrap_or_else(|| panic!("{file}: room `{room}` is not on the map of lib.rs"))
    };
    let mut upward = Vec::new();
    for source in ["crates/core/src", "src"] {
        let house = Crate::read(source);
        for (module, file) in house.files.iter().filter(|(module, _)| !module.is_empty()) {
            let here = place(&module[0], &file.name);
            for path in &file.paths {
                // A room, or an item of the root, which stands for the room that defines it.
                let home = house.home(path, REEXPORTS);
                let room = match &home {
                    Some(home) => home.first(),
                    None => path.first().filter(|room| whole.contains(room)),
                };
                let Some(room) = room else { continue };
                if place(room, &file.name) > here {
                    upward.push(format!("{source}/{} imports {}", file.name, path.join("::")));
                }
            }
        }
        for module in house.files.keys().filter(|module| module.len() == 1) {
            place(&module[0], source);
        }
    }
    assert!(upward.is_empty(), "against the order of rooms that lib.rs states:\n{}", upward.join("\n"));
}

/// Files that reach each other, as sorted lists.
fn circles<'a>(arrows: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<Vec<&'a str>> {
    let reached = |from: &'a str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(file) = open.pop() {
            open.extend(arrows[file].iter().filter(|to| seen.insert(**to)));
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = arrows.keys().map(|&file| (file, reached(file))).collect();
    let on_circle = arrows.keys().filter(|&file| reached[file].contains(file));
    on_circle.map(|&file| reached[file].iter().copied().filter(|to| reached[to].contains(file)).collect()).collect()
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let triangle = BTreeMap::from([
        ("a", BTreeSet::from(["b"])),
        ("b", BTreeSet::from(["c", "d"])),
        ("c", BTreeSet::from(["a"])),
        ("d", BTreeSet::new()),
    ]);
    assert_eq!(circles(&triangle), BTreeSet::from([vec!["a", "b", "c"]]));
    let mut found = Vec::new();
    for source in ["crates/core/src", "src"] {
        let house = Crate::read(source);
        let arrows = house.arrows();
        let number: usize = arrows.values().map(BTreeSet::len).sum();
        assert!(number > arrows.len(), "{number} arrows between {} files of {source}: none was read", arrows.len());
        found.extend(circles(&arrows).into_iter().map(|circle| format!("{source}: {}", circle.join(", "))));
    }
    assert!(found.is_empty(), "files that import each other:\n{}", found.join("\n"));
}

#[test]
fn the_core_has_no_files_tables_figures_tensors_or_command_line() {
    let manifest = std::fs::read_to_string(root().join("crates/core/Cargo.toml")).unwrap();
    let section = |name: &str| -> Vec<&str> {
        let lines = manifest.lines().skip_while(|line| line.trim() != name).skip(1);
        lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.trim().is_empty()).collect()
    };
    let dependencies = section("[dependencies]");
    assert!(dependencies.iter().any(|line| line.starts_with("ndarray")), "no dependencies were read");
    for line in &dependencies {
        for heavy in ["hdf5", "polars", "plotters", "burn"] {
            assert!(!line.contains(heavy), "lacuna-core must not depend on {heavy}: {line}");
        }
        assert!(!line.starts_with("clap") || line.contains("optional = true"), "clap must be optional: {line}");
    }
    for line in section("[features]") {
        assert!(!line.starts_with("default") || !line.contains("clap"), "clap must not be on by default: {line}");
    }
}

#[test]
fn files_can_be_read_in_one_sitting() {
    let long: Vec<String> = ["crates", "src", "tests", "benches"]
        .iter()
        .flat_map(|folder| sources(&root().join(folder)))
        .filter_map(|path| {
            let lines = std::fs::read_to_string(&path).unwrap().lines().count();
            (lines > MOST_LINES).then(|| format!("{}: {lines} lines", path.display()))
        })
        .collect();
    assert!(long.is_empty(), "files of more than {MOST_LINES} lines:\n{}", long.join("\n"));
}
