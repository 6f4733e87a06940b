//! What the source must look like: the order of the modules, the place of `wgpu`, the table of shaders.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder with this extension, sorted.
fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "no .{extension} below {folder}: the test would check nothing");
    found
}

fn below(path: &Path, folder: &str) -> String {
    path.strip_prefix(root().join(folder)).expect("below it").to_string_lossy().replace('\\', "/")
}

/// The modules in the order of `src/lib.rs`, which is the order of the data's flow.
fn modules() -> Vec<String> {
    let lib = fs::read_to_string(root().join("src/lib.rs")).expect("lib.rs");
    let names = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// Uses of modules that do not stand left of `module`.
fn backward_uses(module: &str, text: &str, modules: &[String]) -> Vec<String> {
    let place = |name: &str| modules.iter().position(|module| module == name);
    let own = place(module).expect("a listed module");
    let mut wrong = Vec::new();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    for line in code {
        let mut rest = line;
        while let Some(at) = rest.find("crate::") {
            let before = rest[..at].chars().last();
            rest = &rest[at + "crate::".len()..];
            if before == Some('$') {
                continue;
            }
            // `crate::{a, b::c}` names several, `crate::a::b` one.
            let names: Vec<&str> = match rest.strip_prefix('{') {
                Some(list) => {
                    list.split(['{', '}', ',']).map(|name| name.trim().split("::").next().unwrap_or("")).collect()
                }
                None => rest.split(|c: char| !c.is_alphanumeric() && c != '_').take(1).collect(),
            };
            wrong.extend(
                names
                    .iter()
                    .filter(|name| place(name).is_some_and(|other| other > own))
                    .map(|name| format!("{module} uses {name}: {line}")),
            );
        }
    }
    wrong
}

#[test]
fn modules_use_only_those_before_them() {
    let modules = modules();
    assert!(modules.len() > 10, "lib.rs declares the modules: {modules:?}");
    let mut wrong = Vec::new();
    let mut checked = 0;
    for path in files("src", "rs") {
        let name = below(&path, "src");
        let module = name.split('/').next().expect("a name").trim_end_matches(".rs").to_owned();
        if module == "lib" || module == "main" {
            continue;
        }
        wrong.extend(backward_uses(&module, &fs::read_to_string(&path).expect("readable"), &modules));
        checked += 1;
    }
    assert!(checked > 20, "only {checked} files were checked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_backward_use_is_seen() {
    let modules = modules();
    assert_eq!(backward_uses("knn", "use crate::engine::Descent;", &modules).len(), 1);
    assert_eq!(backward_uses("knn", "use crate::{Error, cli, data};", &modules).len(), 1);
    assert_eq!(backward_uses("engine", "use crate::knn::Metric;\n// use crate::cli;", &modules).len(), 0);
}

#[test]
fn architecture_names_the_modules_in_their_order() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let order = modules().iter().map(|module| format!("`{module}`")).collect::<Vec<_>>().join(" → ");
    assert!(text.contains(&order), "ARCHITECTURE.md must hold the order as in src/lib.rs: {order}");
}

#[test]
fn only_the_gpu_room_names_wgpu() {
    for path in files("src", "rs") {
        let name = below(&path, "src");
        let text = fs::read_to_string(&path).expect("readable");
        let named = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("wgpu::"));
        assert!(!named || name.starts_with("gpu/"), "{name} names wgpu");
    }
}

#[test]
fn code_for_one_system_stands_in_one_place() {
    for path in files("src", "rs") {
        let name = below(&path, "src");
        let text = fs::read_to_string(&path).expect("readable");
        for word in ["std::os::", "target_os", "cfg(unix)", "cfg(windows)", "\"/proc", "\"/dev", "libc::"] {
            assert!(!text.contains(word) || name == "cli/host.rs", "{name} has `{word}`: it belongs in cli/host.rs");
        }
    }
}

#[test]
fn unsafe_code_stands_in_its_documented_places() {
    for path in files("src", "rs") {
        let name = below(&path, "src");
        let text = fs::read_to_string(&path).expect("readable");
        let unsafe_code = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("unsafe "));
        assert!(
            !unsafe_code || ["objective/gather.rs", "cli/host.rs"].contains(&name.as_str()),
            "{name} has unsafe code"
        );
    }
}

#[test]
fn every_kernel_file_has_its_twin() {
    for path in files("shaders", "wgsl") {
        let name = below(&path, "shaders");
        if name.starts_with("lib/") {
            continue;
        }
        let twin = root().join("src").join(&name).with_extension("rs");
        assert!(twin.exists(), "shaders/{name} has no src/{}", name.replace(".wgsl", ".rs"));
        let text = fs::read_to_string(&twin).expect("readable");
        assert!(text.contains(&name), "src/{} does not name its twin shaders/{name}", name.replace(".wgsl", ".rs"));
    }
}

/// Rows of the table in shaders/README.md: file, entry point, host, twin, test.
fn shader_table() -> Vec<[String; 5]> {
    let text = fs::read_to_string(root().join("shaders/README.md")).expect("shaders/README.md");
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<String> =
            row.trim_matches('|').split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("a row has five cells: {cells:?}"))
    })
    .collect()
}

#[test]
fn the_shader_table_lists_every_entry_point() {
    let mut written = BTreeSet::new();
    for path in files("shaders", "wgsl") {
        let text = fs::read_to_string(&path).expect("readable");
        let mut compute = false;
        for line in text.lines() {
            compute |= line.starts_with("@compute");
            if let Some(rest) = line.strip_prefix("fn ")
                && compute
            {
                written.insert((below(&path, "shaders"), rest.split('(').next().expect("a name").to_owned()));
                compute = false;
            }
        }
    }
    let listed: BTreeSet<(String, String)> =
        shader_table().into_iter().map(|[file, entry, ..]| (file, entry)).collect();
    assert_eq!(written, listed, "shaders/README.md and the tree differ");
}

#[test]
fn the_shader_table_names_what_exists() {
    let table = shader_table();
    assert!(table.len() > 5);
    for [file, entry, host, twin, test] in table {
        for (place, what) in [(host, "host"), (twin, "twin"), (test, "test")] {
            let (path, function) =
                place.split_once(':').unwrap_or_else(|| panic!("{file}:{entry}: {what} is FILE:FUNCTION"));
            let text = fs::read_to_string(root().join(path)).unwrap_or_else(|_| panic!("{file}: no {path}"));
            assert!(text.contains(&format!("fn {function}")), "{file}:{entry}: {path} has no fn {function}");
        }
    }
}
