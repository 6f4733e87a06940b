//! What the documents say of the program, held against the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The long options `--name` that a text begins with, after a short one and in backquotes or not.
fn option(line: &str) -> Option<String> {
    let line = line.trim_start_matches(['|', ' ', '`']);
    let line = if line.starts_with("--") { line } else { line.split_once(", ")?.1 };
    let name = line.trim_start_matches('`').strip_prefix("--")?;
    Some(name.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-').collect())
}

/// The long options that a section of README tables, and those in the help of a command.
fn options(command: &str) -> [BTreeSet<String>; 2] {
    let shown = Command::new(env!("CARGO_BIN_EXE_nearfield")).args([command, "--help"]).output().expect("it runs");
    let help = String::from_utf8(shown.stdout).expect("text");
    let starts = help.lines().filter(|line| line.trim_start().starts_with('-'));
    let helped = starts.filter_map(option).filter(|name| name != "help").collect();
    let readme = text("README.md");
    let (_, section) = readme.split_once(&format!("\n## Options of `nearfield {command}`\n")).expect("the section");
    let section = section.split("\n## ").next().expect("its text");
    [section.lines().filter(|line| line.starts_with("| `-")).filter_map(option).collect(), helped]
}

#[test]
fn readme_tables_the_options_of_help() {
    for command in ["embed", "transform", "cluster", "bench"] {
        let [tabled, mut helped] = options(command);
        if command != "embed" {
            // Those of every command are tabled once.
            helped.retain(|name| !["quiet", "verbose", "color"].contains(&name.as_str()));
        }
        assert!(helped.len() > 8, "few options in the help: {helped:?}");
        assert_eq!(tabled, helped, "README's table (left) and `nearfield {command} --help` (right) differ");
    }
}

#[test]
fn an_option_is_read_from_help_and_from_a_table() {
    assert_eq!(option("  -o, --output <FILE>").as_deref(), Some("output"));
    assert_eq!(option("      --max-time <TIME>").as_deref(), Some("max-time"));
    assert_eq!(option("| `-o`, `--output FILE` | …").as_deref(), Some("output"));
    assert_eq!(option("| `--pca N`, `--pca off` | …").as_deref(), Some("pca"));
    assert_eq!(option("| `-h` | …"), None);
}

/// What follows `](` in a document, but for addresses and places in the same document.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    targets.filter(|link| !link.is_empty() && !link.contains("://")).map(str::to_owned).collect()
}

#[test]
fn links_lead_somewhere() {
    let entries = fs::read_dir(root()).expect("the root is there").map(|entry| entry.expect("readable").path());
    let documents: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|e| e == "md")).collect();
    let mut checked = 0;
    for document in documents {
        for link in links(&fs::read_to_string(&document).expect("readable")) {
            assert!(root().join(&link).exists(), "{}: there is no {link}", document.display());
            checked += 1;
        }
    }
    assert!(checked > 3, "only {checked} links were checked");
}

#[test]
fn the_gallery_can_be_made_by_its_commands() {
    let page = text("docs/gallery.md");
    let commands: Vec<Vec<&str>> = page
        .lines()
        .filter_map(|line| line.strip_prefix("    nearfield "))
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert!(commands.len() >= 12, "{} commands", commands.len());
    let mut made = BTreeSet::new();
    for command in &commands {
        let planned =
            Command::new(env!("CARGO_BIN_EXE_nearfield")).args(command).arg("--plan").current_dir(root()).output();
        let planned = planned.expect("it runs");
        assert!(planned.status.success(), "{command:?}: {}", String::from_utf8_lossy(&planned.stderr));
        made.extend(command.iter().filter_map(|word| word.strip_prefix("assets/gallery/")).map(str::to_owned));
    }
    // Those of the steps of EM are copies from the folder that the command names.
    made.extend(["faithful-step-0.png", "faithful-step-1.png", "faithful-step-7.png"].map(str::to_owned));
    let shown: BTreeSet<String> =
        links(&page).iter().filter_map(|link| link.strip_prefix("../assets/gallery/")).map(str::to_owned).collect();
    assert_eq!(shown, made.iter().filter(|name| name.ends_with(".png")).cloned().collect::<BTreeSet<_>>());
    for name in made {
        let path = root().join("assets/gallery").join(&name);
        let size = fs::metadata(&path).unwrap_or_else(|error| panic!("{name}: {error}")).len();
        assert!(size < 400_000, "{name} has {size} bytes");
    }
}

/// The crates of the sections `[dependencies]`, `[dev-dependencies]` and those of single systems of a `Cargo.toml`.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once(" = ")
            && inside
        {
            names.insert(name.to_owned());
        }
    }
    names
}

#[test]
fn every_dependency_has_its_reason() {
    let architecture = text("ARCHITECTURE.md");
    let (_, section) = architecture.split_once("\n## Dependencies\n").expect("the section is there");
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |")).map(|(crates, _)| crates);
    let reasons: BTreeSet<String> =
        cells.flat_map(|crates| crates.split(", ")).map(|name| name.trim_matches('`').to_owned()).collect();
    let declared = dependencies(&text("Cargo.toml"));
    assert!(declared.len() > 10, "few dependencies: {declared:?}");
    assert_eq!(reasons, declared, "ARCHITECTURE.md (left) and Cargo.toml (right) differ");
}
