//! The program as its users meet it: exit codes, one line for every refusal, nothing written by a job that did not run, the
//! keys of the report, interruption.

mod common;

use common::adapters::on_each;
use nearfield::gpu::Options;
use nearfield::kernel::Similarity;
use nearfield::objective::distances::Form;
use nearfield::objective::{Objective, methods};
use nearfield::{input, render};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Small and quick, for jobs that are to run.
const QUICK: [&str; 4] = ["--device", "cpu", "--iterations", "20"];

/// A folder of data, good and bad, that every test has for itself.
struct Folder(tempfile::TempDir);

/// What a run left behind.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new() -> Folder {
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.write("good.csv", table("a,b,c\n", 40, |i, m| value(i, m).to_string()));
        folder.write("map.csv", "an old map");
        folder.write("report.json", "an old report");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).expect("it can be written");
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&self.read("report.json")).expect("the report is JSON")
    }

    /// The map in an .npy file that nearfield wrote: little-endian `f32` behind a header whose length stands at byte 8.
    fn map(&self, name: &str) -> Vec<f32> {
        let bytes = self.read(name);
        let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        let (values, rest) = bytes[header..].as_chunks::<4>();
        assert!(rest.is_empty() && !values.is_empty(), "{name} holds whole values");
        values.iter().map(|&four| f32::from_le_bytes(four)).collect()
    }

    /// Every file and what is in it, hidden ones too.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries =
            fs::read_dir(self.0.path()).expect("the folder is there").map(|entry| entry.expect("readable").path());
        entries
            .map(|path| (path.clone(), if path.is_file() { fs::read(&path).expect("readable") } else { vec![] }))
            .collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        // As on a machine without a desktop session, where a driver's layers have been heard to complain.
        command.args(arguments).current_dir(self.0.path()).env_remove("XDG_RUNTIME_DIR").env_remove("NODEVICE_SELECT");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        told(self.command(arguments).stdin(Stdio::null()).output().expect("it starts"))
    }

    /// Runs what must be done.
    fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        for line in ran.stderr.lines() {
            assert!(line.starts_with("nearfield: "), "{arguments:?}: not a line of ours: {line}");
            assert!(!line.contains(['\r', '\x1b']), "{arguments:?}: {line:?} is for a terminal");
        }
        ran
    }

    /// Runs what must be refused: exit code 2, one line that holds `parts`, nothing on stdout, no file touched.
    fn refused(&self, arguments: &[&str], parts: &[&str]) -> Ran {
        let before = self.files();
        let ran = self.run(arguments);
        let wrong = wrong_with(&ran, parts);
        assert!(wrong.is_none(), "{arguments:?}: {}: {:?}", wrong.unwrap_or_default(), ran.stderr);
        assert!(self.files() == before, "{arguments:?}: files were written, changed or removed");
        ran
    }
}

fn told(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// What is wrong with a refusal.
fn wrong_with(ran: &Ran, parts: &[&str]) -> Option<String> {
    let Some(line) = ran.stderr.strip_suffix('\n') else { return Some("no whole line".into()) };
    let Some(message) = line.strip_prefix("nearfield: ") else { return Some("not our line".into()) };
    if ran.code != Some(2) {
        return Some(format!("exit code {:?}", ran.code));
    }
    if line.contains(char::is_control) {
        return Some("more than one line".into());
    }
    match message.rsplit_once("; ") {
        Some((said, remedy)) if said.contains(": ") && !remedy.is_empty() => {}
        _ => return Some("not of the form `what: cause; remedy`".into()),
    }
    if !ran.stdout.is_empty() {
        return Some(format!("stdout has {:?}", ran.stdout));
    }
    parts.iter().find(|part| !message.contains(**part)).map(|part| format!("{part:?} is not said"))
}

#[test]
fn a_wrong_refusal_is_seen() {
    let ran = |code, stdout: &str, stderr: &str| Ran { code, stdout: stdout.into(), stderr: stderr.into() };
    let line = "nearfield: a.csv: is empty; write it\n";
    assert_eq!(wrong_with(&ran(Some(2), "", line), &["a.csv", "empty"]), None);
    for bad in [
        ran(Some(1), "", line),
        ran(None, "", line),
        ran(Some(2), "something", line),
        ran(Some(2), "", ""),
        ran(Some(2), "", "nearfield: a.csv: is empty\n"),
        ran(Some(2), "", "nearfield: is empty; write it\n"),
        ran(Some(2), "", "a.csv: is empty; write it\n"),
        ran(Some(2), "", &format!("error: XDG_RUNTIME_DIR is invalid\n{line}")),
        ran(Some(2), "", &format!("{line}{line}")),
    ] {
        assert!(wrong_with(&bad, &["a.csv"]).is_some(), "{:?} {:?}", bad.code, bad.stderr);
    }
    assert!(wrong_with(&ran(Some(2), "", line), &["b.csv"]).is_some());
}

/// A number between −1 and 1 for row i and column m, without a pattern.
fn value(i: usize, m: usize) -> f64 {
    let mixed = (i * 131 + m * 7919 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f64 / (1 << 23) as f64 - 1.0
}

/// A table of as many columns as its header names, or of three.
fn table(header: &str, rows: usize, cell: impl Fn(usize, usize) -> String) -> String {
    let columns = if header.is_empty() { 3 } else { header.split(',').count() };
    let row = |i| (0..columns).map(|m| cell(i, m)).collect::<Vec<_>>().join(",") + "\n";
    header.to_owned() + &(0..rows).map(row).collect::<String>()
}

fn npy(dtype: &str, rows: usize, columns: usize, values: impl IntoIterator<Item = f32>) -> Vec<u8> {
    let mut header = format!("{{'descr': '{dtype}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header += "\n";
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.into_iter().flat_map(f32::to_le_bytes));
    bytes
}

#[test]
fn bad_input_is_refused_in_one_line() {
    let folder = Folder::new();
    let ramp = |count: usize| (0..count).map(|i| i as f32);
    let spoilt = |count, at, with| ramp(count).enumerate().map(move |(i, x)| if i == at { with } else { x });
    let line_4 = |last: &str| format!("a,b,c\n1,2,3\n4,5,6\n7,{last}\n1,1,1\n3,1,1\n");
    fs::create_dir(folder.path("folder")).expect("a folder");
    let whole = npy("<f4", 40, 3, ramp(120));
    let files: &[(&str, Vec<u8>, &[&str])] = &[
        ("empty.csv", vec![], &["empty.csv: is empty"]),
        ("empty.npy", vec![], &["empty.npy: is empty"]),
        ("cut.npy", whole[..whole.len() - 10].to_vec(), &["cut.npy: is truncated", "117 of the 120 values"]),
        ("complex.npy", npy("<c8", 40, 3, ramp(240)), &["complex.npy: holds complex numbers", "<c8"]),
        ("text.npy", npy("<U1", 40, 3, ramp(120)), &["text.npy: holds text"]),
        ("ragged.csv", line_4("8").into(), &["ragged.csv: line 4 has 2 fields, where 3 are expected"]),
        ("word.csv", line_4("eight,9").into(), &["word.csv: line 4, column b is \"eight\", not a number"]),
        ("nan.csv", line_4("nan,9").into(), &["nan.csv: line 4, column b is NaN"]),
        ("inf.csv", line_4("8,-inf").into(), &["inf.csv: line 4, column c is infinite"]),
        ("nan.npy", npy("<f4", 5, 2, spoilt(10, 5, f32::NAN)), &["nan.npy: row 2, column 1 is NaN"]),
        ("inf.npy", npy("<f4", 5, 2, spoilt(10, 6, f32::INFINITY)), &["inf.npy: row 3, column 0 is infinite"]),
        ("three.csv", table("", 3, |i, m| value(i, m).to_string()).into(), &["three.csv: has 3 rows", "at least 4"]),
        ("equal.csv", table("", 10, |_, m| m.to_string()).into(), &["equal.csv: all 10 rows are equal"]),
        ("data.xyz", "1,2\n".into(), &["data.xyz: unknown extension .xyz", ".npy", ".csv"]),
        ("a\nb\u{1b}[31m.csv", vec![], &["a\\nb\\u{1b}[31m.csv: is empty"]),
        ("two  spaces.csv", vec![], &["two  spaces.csv: is empty"]),
    ];
    let mut cases: Vec<(&str, &[&str])> = vec![
        ("missing.csv", &["missing.csv: no such file"]),
        ("folder", &["folder: no picture lies in this folder"]),
        ("sample:nope", &["sample:nope: no sample", "sample:digits", "sample:faithful"]),
        ("", &["\"\": is not the name of a file"]),
    ];
    for (name, bytes, parts) in files {
        folder.write(name, bytes);
        cases.push((name, parts));
    }
    for (input, parts) in cases {
        // With `--device auto`, whose adapters must not be asked before the input is read.
        folder.refused(&["embed", input, "-o", "map.csv", "-o", "new.png", "--report", "report.json"], parts);
    }
    folder.write("zero.csv", table("", 40, |i, m| if i == 7 { "0".into() } else { value(i, m).to_string() }));
    let zero = &["row 7", "all zeros"];
    folder.refused(&["embed", "zero.csv", "--metric", "cosine", "-o", "map.csv", "--report", "report.json"], zero);
}

#[test]
fn bad_options_are_refused_in_one_line() {
    let folder = Folder::new();
    folder.write("39.txt", "a\n".repeat(39));
    folder.write("map3.npy", npy("<f4", 40, 3, (0..120).map(|i| i as f32)));
    folder.write("map39.csv", "x,y\n".to_owned() + &"1,2\n".repeat(39));
    folder.write("mapnan.npy", npy("<f4", 40, 2, [f32::NAN; 80]));
    let cases: &[(&str, &[&str])] = &[
        ("--perplexity 50", &["perplexity: 50 is out of reach of 39 neighbours", "below 39"]),
        ("--perplexity 39", &["perplexity: 39 is out of reach", "below 39"]),
        ("--perplexity 0.5", &["0.5 is less than 1", "below 39"]),
        ("--perplexity -1", &["-1 is less than 1"]),
        ("--perplexity nan", &["NaN is not a number"]),
        ("--perplexity many", &["--perplexity many", "give a number"]),
        ("--neighbors 4 --perplexity 4", &["4 is out of reach of 4 neighbours", "below 4"]),
        ("--affinity gaussian", &["--affinity gaussian", "perplexity, multiscale, fixed, uniform, precomputed"]),
        ("--affinity uniform --perplexity 5", &["--perplexity: these affinities have no use for it", "--affinity"]),
        ("--affinity uniform --neighbors 0", &["--neighbors: without neighbours nothing attracts", "give 1 to 39"]),
        ("--neighbors 0", &["--neighbors: 0 is too few", "give 2 to 39, or all"]),
        ("--neighbors 1", &["--neighbors: 1 is too few"]),
        ("--neighbors 40", &["40 neighbours where each point has 39 others", "at most 39"]),
        ("--neighbors -1", &["--neighbors -1", "whole number, or all"]),
        ("--pca 0", &["--pca: 0 components of 40 rows and 3 columns", "1 to 3"]),
        ("--pca 999", &["--pca: 999 components", "1 to 3, or off"]),
        ("--pca 2 --metric cosine", &["--pca: centring", "--metric euclidean"]),
        ("--metric minkowski", &["--metric minkowski", "euclidean, cosine"]),
        ("--dims 4", &["--dims 4", "2, 3"]),
        ("--dims 1", &["--dims 1", "2, 3"]),
        ("--init nope.npy", &["nope.npy: no such file"]),
        ("--init map3.npy", &["map3.npy: holds [40, 3], where a map of [40, 2] is needed"]),
        ("--init map39.csv", &["map39.csv: holds a map of 39 points", "40 points"]),
        ("--init mapnan.npy", &["mapnan.npy: row 0, column 0 is NaN"]),
        ("--iterations -5", &["--iterations -5", "whole number"]),
        ("--iterations 1.5", &["--iterations 1.5", "whole number"]),
        ("--iterations 9 --exaggeration-iterations 10", &["10 where there are 9 iterations", "at most 9"]),
        ("--exaggeration 0", &["--exaggeration: 0 is not a positive number"]),
        ("--exaggeration 1e-30", &["--exaggeration:", "learning rate"]),
        ("--late-exaggeration -1", &["--late-exaggeration: -1 is not a positive number"]),
        ("--learning-rate nan", &["--learning-rate: NaN is not a positive number"]),
        ("--learning-rate 1e30", &["--learning-rate: 1e30 is too large", "1e9"]),
        ("--learning-rate 1e-60", &["--learning-rate: 1e-60 is too small"]),
        ("--momentum 1", &["--momentum: 1 would not come to rest", "below 1"]),
        ("--momentum -0.1", &["--momentum: -0.1 is not a share"]),
        ("--momentum nan", &["--momentum: NaN"]),
        ("--stop-below 0", &["--stop-below: 0 is not a positive number"]),
        ("--max-time 0", &["--max-time 0", "seconds"]),
        ("--max-time 5x", &["--max-time 5x", "s, m or h"]),
        ("--trace-every 0", &["--trace-every: 0 iterations between readings", "1 or more"]),
        ("--seed -1", &["--seed -1", "18446744073709551615"]),
        ("--threads 0", &["--threads 0", "1 to 1024"]),
        (
            "--host-memory 1MB",
            &["memory: this job needs", "the host, which has 1.00 MB", "fewer rows", "--host-memory"],
        ),
        ("--host-memory lots", &["--host-memory lots", "12GiB"]),
        ("--device-memory 0", &["--device-memory 0", "12GiB"]),
        ("--device-memory 3XB", &["--device-memory 3XB", "12GiB"]),
        ("--knn fast", &["--knn fast", "auto, exact, inverted"]),
        ("--recall 0", &["--recall: 0 is not a share"]),
        ("--knn inverted --neighbors all", &["--knn inverted: --neighbors all"]),
        ("--field thin", &["--field thin", "auto, exact, mesh"]),
        ("--accuracy nan", &["--accuracy: NaN"]),
        ("--field mesh --accuracy 1e-9", &["--accuracy:", "0.001", "--field exact"]),
        ("--method umap", &["--method umap", "tsne, ssne, sne, nerv, tnerv, mds, sammon"]),
        ("--kernel cauchy", &["--kernel cauchy", "gaussian, student"]),
        ("--normalization column", &["--normalization column", "global, row"]),
        ("--method sne --dof 1", &["--dof: the Gaussian kernel has no degrees of freedom", "--kernel student"]),
        ("--kernel gaussian --dof 2", &["--dof: the Gaussian kernel has no degrees of freedom"]),
        ("--dof 0", &["--dof: 0 is not a positive number"]),
        ("--dof 0.001", &["--dof: 0.001 is too small", "0.01 to 10000"]),
        ("--dof 1e5", &["--dof: 1e5 is too large"]),
        ("--dof nan", &["--dof: NaN is not a positive number"]),
        ("--lambda -0.1", &["--lambda: -0.1 is not a share", "0 to 1"]),
        ("--lambda 1.01", &["--lambda: 1.01 is not a share", "0 to 1"]),
        ("--lambda nan", &["--lambda: NaN is not a share"]),
        ("--p-floor 1e-9", &["--p-floor: the forward divergence takes p as it is", "--lambda"]),
        ("--lambda 0.5 --p-floor 0", &["--p-floor: 0 is no floor for 1560 probabilities", "at most 6.4e-6"]),
        ("--method nerv --p-floor 0.01", &["--p-floor: 0.01 is no floor for 39 probabilities"]),
        ("--method mds --p-floor 1e-9", &["--p-floor: --method mds has no use for it"]),
        ("--lambda 0 --neighbors 20", &["--lambda 0: 20 neighbours leave pairs without affinity", "--lambda 1"]),
        ("--method nerv --neighbors 38", &["--lambda 0.5: 38 neighbours leave pairs without affinity", "--neighbors"]),
        ("--method nerv --perplexity 39", &["perplexity: 39 is out of reach", "below 39"]),
        ("--method nerv --field mesh", &["--field mesh: only the forward divergence"]),
        ("--field mesh --lambda 0.9", &["--field mesh: only the forward divergence"]),
        ("--stress-exponent 1", &["--stress-exponent: --method tsne has no use for it", "mds or sammon"]),
        ("--method mds --stress-exponent -1", &["--stress-exponent: -1 is no exponent", "0 to 4"]),
        ("--method mds --stress-exponent 5", &["--stress-exponent: 5 is no exponent"]),
        ("--method mds --stress-exponent nan", &["--stress-exponent: NaN"]),
        (
            "--method mds --perplexity 5",
            &["--perplexity: --method mds has no use for it", "tsne, ssne, sne, nerv or tnerv"],
        ),
        ("--method sammon --neighbors 5", &["--neighbors: --method sammon has no use for it"]),
        ("--method mds --affinity uniform", &["--affinity: --method mds has no use for it"]),
        ("--method mds --kernel student", &["--kernel: --method mds has no use for it"]),
        ("--method mds --dof 1", &["--dof: --method mds has no use for it"]),
        ("--method mds --normalization row", &["--normalization: --method mds has no use for it"]),
        ("--method mds --lambda 1", &["--lambda: --method mds has no use for it"]),
        ("--method mds --exaggeration 4", &["--exaggeration: --method mds has no use for it"]),
        ("--method mds --knn exact", &["--knn: --method mds has no use for it"]),
        ("--method mds --field mesh", &["--field mesh: the distance family has no field"]),
        ("--labels 39.txt", &["39.txt: holds 39 labels for the 40 rows of good.csv"]),
        ("--labels nope", &["--labels nope: good.csv has no such column", "a, b, c"]),
        ("--header maybe", &["--header maybe", "auto, yes, no"]),
        ("--device gpu:x", &["--device gpu:x", "`nearfield adapters`"]),
        ("--bogus", &["--bogus: no such argument", "`nearfield embed --help`"]),
        ("--perplexit 3", &["--perplexit: no such argument", "--perplexity"]),
        ("more", &["more: no such argument"]),
        ("--report r.json", &["--report: it is given more than once"]),
    ];
    for (options, parts) in cases {
        let mut arguments = vec!["embed", "good.csv", "-o", "map.csv", "-o", "new.png", "--report", "report.json"];
        arguments.extend(options.split(' '));
        folder.refused(&arguments, parts);
    }
    folder.refused(&["embed", "good.csv", "-o", "map.csv", "--device", ""], &["--device: it has no value"]);
    folder.refused(&["embed", "good.csv", "-o", "map.csv", "--init", ""], &["\"\": is not the name of a file"]);
    folder.refused(&["embed", "good.csv"], &["arguments: missing --output <FILE>", "`nearfield embed --help`"]);
    folder.refused(&["embed"], &["arguments: missing", "<INPUT>"]);
    folder.refused(&["paint"], &["paint: no such command"]);
    folder.refused(&[], &["a command is needed"]);
}

#[test]
fn a_device_that_does_not_exist_is_refused_with_those_that_do() {
    let folder = Folder::new();
    let output = ["embed", "good.csv", "-o", "map.csv", "--device"];
    // Whether or not there are adapters.
    for device in ["gpu:99", "no such card"] {
        folder.refused(&[&output[..], &[device]].concat(), &[&format!("--device {device}: no such adapter"), "cpu"]);
    }
    on_each(Options::default(), |gpu| {
        let there = format!("gpu:{} ({})", gpu.adapter().index, gpu.adapter().name);
        folder.refused(&[&output[..], &["gpu:99"]].concat(), &["auto, cpu, gpu,", &there]);
    });
}

#[test]
fn bad_outputs_are_refused_before_any_work() {
    let folder = Folder::new();
    folder.write("labels.csv", "label\n".to_owned() + &"a\n".repeat(40));
    fs::create_dir(folder.path("folder")).expect("a folder");
    fs::create_dir(folder.path("folder.png")).expect("a folder");
    let same = format!("../{}/map.csv", folder.0.path().file_name().expect("a name").to_string_lossy());
    let cases: &[(&[&str], &[&str])] = &[
        (&["-o", "none/map.png"], &["none/map.png: the folder none does not exist", "create it"]),
        (&["-o", "map.pdf"], &["map.pdf: no writer for the extension .pdf", ".npy, .csv, "]),
        (&["-o", "map"], &["map: the name has no extension", ".npy, .csv, "]),
        (&["-o", "folder.png"], &["folder.png: it is a folder"]),
        (&["-o", "new.png/"], &["new.png/: it names a folder"]),
        (&["-o", ""], &["--output: it has no value"]),
        (&["-o", "good.csv/map.csv"], &["good.csv is not a folder"]),
        (&["-o", "map.csv", "-o", "map.csv"], &["map.csv: is named twice"]),
        (&["-o", "map.csv", "-o", "./map.csv"], &["./map.csv: is named twice"]),
        (&["-o", "map.csv", "-o", &same], &["map.csv: is named twice"]),
        (&["-o", "new.csv", "-o", "./new.csv"], &["./new.csv: is named twice"]),
        (&["-o", "good.csv"], &["good.csv: is read by this command"]),
        (&["-o", "map.csv", "--report", "./good.csv"], &["./good.csv: is read by this command"]),
        (&["--labels", "labels.csv", "-o", "labels.csv"], &["labels.csv: is read by this command"]),
        (&["--id", "labels.csv", "-o", "./labels.csv"], &["labels.csv: is read by this command"]),
        (&["--init", "labels.csv", "-o", "labels.csv"], &["labels.csv: is read by this command"]),
        (&["--neighbors-file", "labels.csv", "-o", "labels.csv"], &["labels.csv: is read by this command"]),
        (
            &["--affinity", "precomputed", "--affinities", "labels.csv", "-o", "labels.csv"],
            &["is read by this command"],
        ),
        (&["-o", "map.csv", "--atlas", "map.csv"], &["map.csv: an atlas is a .png"]),
        (&["-o", "a.png", "--atlas", "a.png"], &["a.png: is named twice"]),
        (&["-o", "map.csv", "--atlas", "a.png"], &["--atlas: the rows of good.csv are no pictures"]),
        (&["-o", "map.csv", "--report", "map.csv"], &["map.csv: is named twice"]),
        (&["-o", "map.csv", "--report", "folder"], &["folder: it is a folder"]),
        (&["-o", "map.csv", "--report", "none/r.json"], &["none/r.json: the folder none does not exist"]),
        (&["-o", "none/a\nb.csv"], &["none/a\\nb.csv: the folder none"]),
    ];
    for (outputs, parts) in cases {
        folder.refused(&[&["embed", "good.csv"], *outputs].concat(), parts);
    }
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_do_no_harm() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = Folder::new();
    let name = OsStr::from_bytes(b"m\xff.csv");
    let refused = told(folder.command(&["embed"]).arg(name).args(["-o", "map.csv"]).output().expect("it starts"));
    assert_eq!(wrong_with(&refused, &["UTF-8"]), None, "{}", refused.stderr);
    let missing = folder.command(&["embed", "good.csv", "-o"]).arg(Path::new("none").join(name)).output();
    let missing = told(missing.expect("it starts"));
    assert_eq!(wrong_with(&missing, &["the folder none does not exist"]), None, "{}", missing.stderr);
    let written = folder.command(&["embed", "good.csv"]).args(QUICK).arg("-o").arg(name).output().expect("it starts");
    assert_eq!(written.status.code(), Some(0));
    assert!(folder.0.path().join(name).exists() || cfg!(target_vendor = "apple"));
}

#[test]
fn awkward_data_make_finite_maps() {
    let folder = Folder::new();
    type Cell<'a> = &'a dyn Fn(usize, usize) -> f64;
    let tables: &[(&str, usize, Cell)] = &[
        ("four points", 4, &value),
        ("five points", 5, &value),
        ("a constant column", 40, &|i, m| if m == 1 { 7.0 } else { value(i, m) }),
        ("duplicates", 60, &|i, m| value(i % 10, m)),
        ("a line", 50, &|i, m| (i * (m + 1)) as f64),
        ("very large", 40, &|i, m| 1e30 * value(i, m)),
        ("very small", 40, &|i, m| 1e-30 * value(i, m)),
        ("an outlier", 41, &|i, m| if i == 40 { 1e6 } else { value(i, m) }),
    ];
    for (name, rows, cell) in tables {
        folder.write("data.csv", table("", *rows, |i, m| format!("{:e}", cell(i, m))));
        for options in [&["--dims", "2"][..], &["--dims", "3", "--init", "random"], &["--field", "mesh"]] {
            let job = ["embed", "data.csv", "-o", "map.npy", "-o", "map.png", "--report", "report.json"];
            folder.done(&[&job[..], &["--device", "cpu", "--iterations", "60"], options].concat());
            let map = folder.map("map.npy");
            assert_eq!(map.len(), rows * if options[1] == "3" { 3 } else { 2 }, "{name} {options:?}");
            assert!(map.iter().all(|y| y.is_finite()), "{name} {options:?}");
            assert!(map.iter().any(|&y| y != map[0]), "{name} {options:?}: all in one place");
            assert!(folder.report()["objective"].as_f64().is_some_and(|kl| kl > 0.0), "{name} {options:?}");
        }
    }
}

/// The keys that design promises, each with its type; `?` where it may be null.
const KEYS: &[(&str, &str)] = &[
    ("nearfield", "string"),
    ("command", "array"),
    ("plan", "object"),
    ("n", "count"),
    ("input_dims", "count"),
    ("dims", "count"),
    ("method", "string"),
    ("backend", "string"),
    ("adapter", "object?"),
    ("seed", "count"),
    ("iterations", "count"),
    ("stopped", "string"),
    ("objective", "number"),
    ("kl", "number"),
    ("trace", "array"),
    ("trace.0.iteration", "count"),
    ("trace.0.objective", "number"),
    ("trace.0.seconds", "number"),
    ("seconds.read", "number"),
    ("seconds.pca", "number"),
    ("seconds.knn", "number"),
    ("seconds.affinity", "number"),
    ("seconds.init", "number"),
    ("seconds.descend", "number"),
    ("seconds.write", "number"),
    ("seconds.total", "number"),
    ("seconds_per_iteration.median", "number"),
    ("seconds_per_iteration.mean", "number"),
    ("knn.kind", "string"),
    ("knn.k", "count"),
    ("knn.recall", "number?"),
    ("field.kind", "string"),
    ("field.order", "count?"),
    ("field.spacing", "number?"),
    ("field.grid", "array?"),
    ("field.force_error", "number"),
    ("peak_bytes.host", "count"),
    ("peak_bytes.device", "count?"),
    ("warnings", "array"),
];

fn find<'a>(report: &'a Value, key: &str) -> Option<&'a Value> {
    report.pointer(&format!("/{}", key.replace('.', "/")))
}

/// The first key that is missing or of another type.
fn wrong_key(report: &Value) -> Option<String> {
    let holds = |value: &Value, kind: &str| match kind {
        "string" => value.as_str().is_some_and(|text| !text.is_empty()),
        "count" => value.is_u64(),
        "number" => value.as_f64().is_some_and(f64::is_finite),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type"),
    };
    let wrong = KEYS.iter().find(|(key, kind)| match (find(report, key), kind.strip_suffix('?')) {
        (None, _) => true,
        (Some(value), Some(kind)) => !value.is_null() && !holds(value, kind),
        (Some(value), None) => !holds(value, kind),
    });
    wrong.map(|(key, kind)| format!("{key}: {kind} is needed and found is {:?}", find(report, key)))
}

#[test]
fn a_wrong_key_is_seen() {
    let folder = Folder::new();
    folder.done(&[&["embed", "good.csv", "-o", "map.csv", "--report", "report.json"], &QUICK[..]].concat());
    let report = folder.report();
    assert_eq!(wrong_key(&report), None);
    for (key, _) in KEYS {
        let mut spoilt = report.clone();
        *spoilt.pointer_mut(&format!("/{}", key.replace('.', "/"))).expect("it is there") = Value::Bool(true);
        assert!(wrong_key(&spoilt).is_some(), "{key}");
    }
}

#[test]
fn the_report_holds_what_was_done_on_the_cpu() {
    let folder = Folder::new();
    let job = ["embed", "sample:faithful", "-o", "map.npy", "--report", "report.json", "--device", "cpu"];
    let ran = folder.done(&[&job[..], &["--iterations", "20", "--trace-every", "7", "--seed", "3"]].concat());
    let report = folder.report();
    assert_eq!(wrong_key(&report), None);
    assert_eq!(
        (report["n"].as_u64(), report["input_dims"].as_u64(), report["dims"].as_u64()),
        (Some(272), Some(2), Some(2))
    );
    assert_eq!((report["method"].as_str(), report["backend"].as_str()), (Some("tsne"), Some("cpu")));
    assert!(report["adapter"].is_null() && report["peak_bytes"]["device"].is_null());
    assert_eq!((report["seed"].as_u64(), report["iterations"].as_u64()), (Some(3), Some(20)));
    assert_eq!(report["stopped"], "iterations");
    assert_eq!(report["knn"], serde_json::json!({"kind": "exact", "k": 90, "recall": 1.0}));
    assert_eq!(report["field"]["kind"], "exact");
    assert_eq!(report["field"]["force_error"], 0.0);
    let iterations: Vec<_> =
        report["trace"].as_array().expect("a list").iter().map(|r| r["iteration"].clone()).collect();
    assert_eq!(iterations, [7, 14, 20], "every 7 and the last");
    assert_eq!(report["objective"], report["trace"][2]["objective"]);
    assert_eq!(report["objective"], report["kl"]);
    assert_eq!(report["command"][1], "embed");
    let stages: f64 = report["seconds"]
        .as_object()
        .expect("keys")
        .iter()
        .filter(|(k, _)| *k != "total")
        .map(|(_, s)| s.as_f64().unwrap())
        .sum();
    assert!(stages <= report["seconds"]["total"].as_f64().expect("a number"), "{}", report["seconds"]);
    for at in [7, 14, 20] {
        assert!(ran.stderr.contains(&format!("iteration {at} of 20: objective ")), "{}", ran.stderr);
    }
}

#[test]
fn the_report_holds_what_was_done_on_a_gpu() {
    let folder = Folder::new();
    folder.write("four.csv", table("", 4, |i, m| value(i, m).to_string()));
    on_each(Options::default(), |gpu| {
        let device = format!("gpu:{}", gpu.adapter().index);
        let outputs = ["-o", "map.npy", "--report", "report.json", "--device", &device];
        let ran = folder.done(&[&["embed", "sample:faithful", "--iterations", "30"], &outputs[..]].concat());
        assert!(ran.stderr.contains(&gpu.adapter().name), "{}", ran.stderr);
        let report = folder.report();
        assert_eq!(wrong_key(&report), None);
        assert_eq!(report["backend"], "gpu");
        assert_eq!(report["adapter"]["name"].as_str(), Some(gpu.adapter().name.as_str()));
        for key in ["backend", "driver", "device_type"] {
            assert!(report["adapter"][key].as_str().is_some_and(|text| !text.is_empty()), "{key}");
        }
        assert!(report["peak_bytes"]["device"].as_u64().is_some_and(|bytes| bytes > 272 * 90 * 4));
        assert_eq!(report["objective"], report["trace"][0]["objective"]);
        let first = folder.read("map.npy");
        folder.done(&[&["embed", "sample:faithful", "--iterations", "30"], &outputs[..]].concat());
        assert!(folder.read("map.npy") == first, "another map by the same seed on the same adapter");
        // The smallest data, all defaults.
        folder.done(&[&["embed", "four.csv"], &outputs[..]].concat());
        assert!(folder.map("map.npy").iter().all(|y| y.is_finite()));
        assert_eq!(folder.report()["plan"]["perplexity"], 1.0);
        let fine = ["embed", "sample:faithful", "--iterations", "300", "--field", "mesh", "--accuracy", "0.001"];
        folder.done(&[&fine, &outputs[..]].concat());
        let error = folder.report()["field"]["force_error"].as_f64().unwrap_or(f64::NAN);
        assert!(0.0 < error && error <= 0.001, "force error {error}");
    });
}

/// The value of `key` in a printed plan; `phases.1.momentum` is that of the second phase.
fn planned<'a>(plan: &'a str, key: &str) -> Option<&'a str> {
    let (section, key) = match key.strip_prefix("phases.") {
        Some(rest) => {
            let (phase, key) = rest.split_once('.')?;
            (plan.split("[[phases]]").nth(1 + phase.parse::<usize>().ok()?)?, key)
        }
        None => (plan.split("\n[").next()?, key),
    };
    section.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "))
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "elsewhere the system keeps no peak")]
fn the_plan_predicts_the_peak_of_memory() {
    let folder = Folder::new();
    folder.write("data.npy", npy("<f4", 12_000, 60, (0..12_000 * 60).map(|i| value(i / 60, i % 60) as f32)));
    // Lists and mesh, then all pairs: different stages set the peak.
    for options in [["--knn", "inverted", "--field", "mesh"], ["--knn", "exact", "--field", "exact"]] {
        let arguments =
            ["embed", "data.npy", "-o", "map.npy", "--report", "report.json", "--iterations", "3", "--device", "cpu"];
        folder.done(&[&arguments[..], &options].concat());
        let report = folder.report();
        let number = |key: &str| find(&report, key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        let ratio = number("plan.memory.host") / number("peak_bytes.host");
        assert!((0.8..1.25).contains(&ratio), "{options:?}: planned {ratio} of what was used");
    }
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "elsewhere the system keeps no peak")]
fn the_plan_predicts_the_peaks_of_host_and_device() {
    let folder = Folder::new();
    folder.write("data.npy", npy("<f4", 6_000, 60, (0..6_000 * 60).map(|i| value(i / 60, i % 60) as f32)));
    on_each(Options::default(), |gpu| {
        let device = format!("gpu:{}", gpu.adapter().index);
        let job =
            ["embed", "data.npy", "-o", "map.npy", "--report", "report.json", "--iterations", "3", "--device", &device];
        folder.done(&job);
        let report = folder.report();
        let number = |key: &str| find(&report, key).and_then(Value::as_f64).unwrap_or(f64::NAN);
        // What a hardware driver takes of the host is its own affair.
        for place in if gpu.adapter().is_software() { &["host", "device"][..] } else { &["device"] } {
            let ratio = number(&format!("plan.memory.{place}")) / number(&format!("peak_bytes.{place}"));
            assert!((0.8..1.25).contains(&ratio), "{place}: planned {ratio} of what was used");
        }
        let too_small = [&job[..], &["--device-memory", "1MB"]].concat();
        folder.refused(&too_small, &["memory: this job needs", "the device, which has 1.00 MB", "--device-memory"]);
    });
}

#[test]
fn a_job_that_cannot_fit_is_refused_with_what_would() {
    let folder = Folder::new();
    folder.write("data.npy", npy("<f4", 12_000, 20, (0..12_000 * 20).map(|i| value(i / 20, i % 20) as f32)));
    let plan = |options: &[&str]| {
        let ran = folder.done(&[&["embed", "data.npy", "--plan", "--device", "cpu"], options].concat());
        let host: u64 =
            ran.stdout.split("host = ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok()).expect("bytes");
        (host, ran.stderr)
    };
    let (needs, said) = plan(&[]);
    assert_eq!(said, "");
    let limit = (needs * 7 / 10).to_string();
    // What it says would fit does.
    for (law, options) in [(&[][..], &[][..]), (&["--affinity", "uniform"], &["--neighbors", "90"])] {
        let job = ["embed", "data.npy", "-o", "map.npy", "--device", "cpu", "--host-memory", &limit];
        let ran = folder.refused(&[&job, law, options].concat(), &["memory: this job needs", "--host-memory"]);
        let advice = ran.stderr.split("; ").nth(1).and_then(|rest| rest.split(" would fit").next()).expect("advice");
        let advised = [law, &advice.split(' ').collect::<Vec<_>>(), &["--host-memory", &limit]].concat();
        let (lowered, said) = plan(&advised);
        assert!(needs / 2 < lowered && lowered <= needs * 7 / 10, "{advised:?} needs {lowered} of {needs}");
        assert_eq!(said, "", "{advised:?}");
    }
    let (_, said) = plan(&["--host-memory", "1MB"]);
    assert!(said.starts_with("nearfield: this would be refused: memory: this job needs"), "{said}");
}

#[test]
fn options_are_honoured_to_the_letter() {
    let folder = Folder::new();
    let cases: &[(&str, &str, &str)] = &[
        ("--perplexity 12.5", "perplexity", "12.5"),
        ("--perplexity 5", "neighbors", "15"),
        ("--neighbors 20", "neighbors", "20"),
        ("--affinity uniform", "affinity", "\"uniform\""),
        ("--affinity uniform", "neighbors", "15"),
        ("--affinity uniform --neighbors 1", "neighbors", "1"),
        ("--neighbors all", "knn", "\"all\""),
        ("--knn inverted", "knn", "\"inverted\""),
        ("--pca 2", "pca", "2"),
        ("--metric cosine", "metric", "\"cosine\""),
        ("--dims 3", "dims", "3"),
        ("--init random", "init", "\"random\""),
        ("--field mesh --device cpu", "field", "\"mesh\""),
        ("--iterations 30", "phases.0.iterations", "30"),
        ("--iterations 300", "phases.1.iterations", "50"),
        ("--exaggeration-iterations 100", "phases.0.iterations", "100"),
        ("--exaggeration-iterations 0", "phases.0.exaggeration", "1.0"),
        ("--exaggeration 4", "phases.0.exaggeration", "4.0"),
        ("--exaggeration 4", "phases.0.learning_rate", "10.0"),
        ("--late-exaggeration 2", "phases.1.exaggeration", "2.0"),
        ("--late-exaggeration 2", "phases.1.learning_rate", "20.0"),
        ("--learning-rate 7", "phases.1.learning_rate", "7.0"),
        ("--momentum 0.5", "phases.1.momentum", "0.5"),
        ("--method tsne", "method", "\"tsne\""),
        ("--method tsne", "kernel", "\"student\""),
        ("--method tsne", "dof", "1.0"),
        ("--method tsne", "normalization", "\"global\""),
        ("--method tsne", "lambda", "1.0"),
        ("--dof 0.5", "dof", "0.5"),
        ("--kernel gaussian", "kernel", "\"gaussian\""),
        ("--method ssne", "kernel", "\"gaussian\""),
        ("--method ssne", "normalization", "\"global\""),
        ("--method ssne --kernel student --dof 2", "dof", "2.0"),
        ("--method sne", "normalization", "\"row\""),
        ("--method sne --normalization global", "normalization", "\"global\""),
        ("--method nerv", "lambda", "0.5"),
        ("--method nerv", "normalization", "\"row\""),
        ("--method nerv", "knn", "\"all\""),
        ("--method nerv", "neighbors", "39"),
        ("--method nerv --neighbors all", "neighbors", "39"),
        ("--method nerv --lambda 1 --neighbors 20", "neighbors", "20"),
        ("--method tnerv --lambda 0.25", "lambda", "0.25"),
        ("--lambda 0", "neighbors", "39"),
        ("--lambda 0 --p-floor 1e-6", "p_floor", "0.000001"),
        // λ comes down from 1 in the last phase alone.
        ("--lambda 0.25", "phases.0.lambda", "1.0"),
        ("--lambda 0.25", "phases.1.lambda", "1.0"),
        ("--lambda 0.25", "phases.2.lambda", "0.25"),
        ("--method mds", "stress_exponent", "0.0"),
        ("--method sammon", "stress_exponent", "1.0"),
        ("--method sammon --stress-exponent 0.7", "stress_exponent", "0.7"),
        ("--method mds", "phases.0.gains", "false"),
        ("--method mds", "neighbors", "39"),
        ("--stop-below 0.25", "stop_below", "0.25"),
        ("--max-time 90", "max_seconds", "90.0"),
        ("--max-time 90s", "max_seconds", "90.0"),
        ("--max-time 1.5m", "max_seconds", "90.0"),
        ("--max-time 2h", "max_seconds", "7200.0"),
        ("--trace-every 9", "trace_every", "9"),
        ("--seed 18446744073709551", "seed", "18446744073709551"),
        ("--threads 3", "threads", "3"),
        ("--device cpu", "backend", "\"cpu\""),
        ("--device CPU", "backend", "\"cpu\""),
    ];
    for (options, key, value) in cases {
        let mut arguments = vec!["embed", "good.csv", "--plan"];
        arguments.extend(options.split(' '));
        let before = folder.files();
        let ran = folder.done(&arguments);
        assert!(folder.files() == before, "{options}: a plan writes nothing");
        assert_eq!(planned(&ran.stdout, key), Some(*value), "{options}: {key}");
    }
}

#[test]
fn a_plan_names_the_axes_of_its_method_and_no_others() {
    let folder = Folder::new();
    let axes = ["kernel", "dof", "normalization", "lambda", "stress_exponent", "affinity", "perplexity"];
    for method in methods() {
        let ran = folder.done(&["embed", "good.csv", "--plan", "--method", method.name]);
        let named = axes.map(|axis| planned(&ran.stdout, axis).is_some());
        let wanted = match method.objective {
            Objective::Distances(of) => [false, false, false, false, of.form == Form::Stress, false, false],
            Objective::Neighbour(of) => [true, of.kernel != Similarity::Gaussian, true, true, false, true, true],
        };
        assert_eq!(named, wanted, "{}: {axes:?}\n{}", method.name, ran.stdout);
        assert!(folder.done(&["embed", "--help"]).stdout.contains(method.what), "{} is not in the help", method.name);
    }
}

#[test]
fn reports_hold_the_numbers_of_their_family() {
    let folder = Folder::new();
    for method in methods() {
        for dims in ["2", "3"] {
            let job = ["embed", "good.csv", "-o", "map.npy", "-o", "map.png", "--report", "report.json"];
            folder.done(&[&job[..], &["--method", method.name, "--dims", dims], &QUICK].concat());
            let report = folder.report();
            let name = format!("{} in {dims}-D", method.name);
            assert_eq!(
                (report["method"].as_str(), report["plan"]["method"].as_str()),
                (Some(method.name), Some(method.name))
            );
            let objective = report["objective"].as_f64().unwrap_or(f64::NAN);
            assert!(objective > 0.0 && objective.is_finite(), "{name}: {objective}");
            match method.objective {
                Objective::Distances(_) => {
                    assert!(report["kl"].is_null(), "{name}");
                    assert_eq!(report["stress"], report["objective"], "{name}");
                }
                Objective::Neighbour(of) => {
                    assert!(report["stress"].is_null(), "{name}");
                    let kl = report["kl"].as_f64().unwrap_or(f64::NAN);
                    assert!(kl > 0.0 && kl.is_finite(), "{name}: {kl}");
                    assert_eq!(kl == objective, of.lambda == 1.0, "{name}: KL {kl}, objective {objective}");
                }
            }
            assert!(folder.map("map.npy").iter().all(|y| y.is_finite()), "{name}");
        }
    }
}

#[test]
fn all_pairs_of_too_many_points_are_refused_before_any_work() {
    let folder = Folder::new();
    folder.write("many.npy", npy("<f4", 20_001, 2, (0..40_002).map(|i| value(i / 2, i % 2) as f32)));
    let job = ["embed", "many.npy", "-o", "map.csv", "--device", "cpu"];
    let refused = |options: &[&str], parts: &[&str]| folder.refused(&[&job[..], options].concat(), parts);
    let parts = ["--lambda 0.5: ", "all pairs of 20001 points", "20000 points", "--lambda 1"];
    refused(&["--lambda", "0.5"], &parts);
    refused(&["--method", "nerv"], &parts);
    refused(&["--neighbors", "all"], &["--neighbors all: all others of 20001 points"]);
    // The forward divergence of as many has a plan.
    folder.done(&["embed", "many.npy", "--plan", "--device", "cpu", "--method", "nerv", "--lambda", "1"]);
}

#[test]
fn the_default_perplexity_shrinks_and_says_so() {
    let folder = Folder::new();
    let ran = folder.done(&[&["embed", "good.csv", "-o", "map.csv", "--report", "report.json"], &QUICK[..]].concat());
    let said = "perplexity 13.00 instead of 30, for 40 points";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    assert!(folder.report()["warnings"].as_array().expect("a list").iter().any(|warning| warning == said));
}

#[test]
fn bytes_depend_on_the_seed_and_not_on_the_threads() {
    let folder = Folder::new();
    let names = ["map.npy", "map.csv", "map.png"];
    let made = |options: &[&str]| {
        let job = ["embed", "sample:faithful", "-o", names[0], "-o", names[1], "-o", names[2]];
        folder.done(&[&job[..], &QUICK, options].concat());
        names.map(|name| folder.read(name))
    };
    let one = made(&["--threads", "1"]);
    assert!(made(&["--threads", "2"]) == one);
    assert!(made(&["--threads", "2", "--field", "mesh"]) == made(&["--threads", "1", "--field", "mesh"]));
    let random = made(&["--init", "random"]);
    assert!(made(&["--init", "random"]) == random);
    let other = made(&["--init", "random", "--seed", "1"]);
    for (name, (other, random)) in names.iter().zip(other.iter().zip(&random)) {
        assert!(other != random, "{name} is the same for two seeds");
    }
}

#[test]
fn a_saved_map_is_a_start() {
    let folder = Folder::new();
    for (dims, header) in [("2", "x,y,label"), ("3", "x,y,z,label")] {
        let labels = ["embed", "good.csv", "--labels", "c", "--dims", dims];
        let saved = ["-o", "map.npy", "-o", "map.csv"];
        folder.done(&[&labels[..], &saved, &["--device", "cpu", "--iterations", "300"]].concat());
        assert!(folder.read("map.csv").starts_with(header.as_bytes()));
        let map = folder.map("map.npy");
        let size = map.iter().fold(0.0_f32, |size, y| size.max(y.abs()));
        assert!(size > 0.1, "the map has grown: {size}");
        for start in ["map.npy", "map.csv"] {
            let none = ["--device", "cpu", "--iterations", "0", "--init", start, "-o", "again.npy"];
            folder.done(&[&labels[..], &none].concat());
            let again = folder.map("again.npy");
            assert_eq!(again.len(), map.len());
            // Centred once more, which moves it by rounding.
            assert!(again.iter().zip(&map).all(|(a, b)| (a - b).abs() <= 1e-5 * size), "{start} in {dims} dimensions");
        }
    }
}

#[test]
fn a_descent_stops_when_it_was_asked_to() {
    let folder = Folder::new();
    let job = ["embed", "sample:faithful", "-o", "map.npy", "--report", "report.json", "--device", "cpu"];
    for (options, stopped, said) in [
        (["--max-time", "0.3", "--iterations", "10000000"], "max-time", "out of time after "),
        (["--stop-below", "0.01", "--iterations", "10000000"], "stop-below", "converged after "),
    ] {
        let ran = folder.done(&[&job[..], &options].concat());
        let report = folder.report();
        assert_eq!(report["stopped"], stopped);
        let iterations = report["iterations"].as_u64().expect("a count");
        assert!(0 < iterations && iterations < 10_000_000, "{iterations}");
        let last = report["trace"].as_array().expect("a list").last().expect("a reading");
        assert_eq!(last["iteration"].as_u64(), Some(iterations));
        assert_eq!(last["objective"], report["objective"]);
        assert!(ran.stderr.lines().last().expect("a line").contains(said), "{}", ran.stderr);
    }
    // The last reading before the stop changed less than asked for, the one before it more.
    let trace: Vec<f64> =
        folder.report()["trace"].as_array().expect("a list").iter().map(|r| r["objective"].as_f64().unwrap()).collect();
    let change = |i: usize| (trace[i - 1] - trace[i]).abs() / trace[i];
    let last = trace.len() - 1;
    assert!(change(last) < 0.01 && !(change(last - 1) < 0.01), "{trace:?}");
}

/// A table on standard input, packed or not, makes the same map as from a file.
#[test]
fn a_table_is_read_from_standard_input() {
    let folder = Folder::new();
    let text = folder.read("good.csv");
    let from = |bytes: &[u8], output: &str| {
        let mut child = folder
            .command(&[&["embed", "-", "-o", output][..], &QUICK].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // One that refuses early closes its end.
        let _ = std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), bytes);
        told(child.wait_with_output().expect("it ends"))
    };
    folder.done(&[&["embed", "good.csv", "-o", "file.npy"][..], &QUICK].concat());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, &text).expect("memory");
    for bytes in [text.clone(), packed.finish().expect("memory")] {
        let ran = from(&bytes, "stdin.npy");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        assert!(folder.map("stdin.npy") == folder.map("file.npy"));
    }
    for (bytes, parts) in [
        (&b""[..], &["stdin: is empty"][..]),
        (b"a,b\n1,2\n3,x\n", &["stdin: line 3, column b is \"x\""]),
        (b"\xff\xff\0\0", &["stdin: "]),
    ] {
        let ran = from(bytes, "other.npy");
        assert_eq!(wrong_with(&ran, parts), None, "{}", ran.stderr);
    }
    assert!(!folder.path("other.npy").exists());
}

/// What rows that are left out mean for the files that go by rows.
#[test]
fn a_subsample_goes_through_the_job() {
    let folder = Folder::new();
    let labels: String = (0..40).map(|i| format!("{i}\n")).collect();
    folder.write("ids.txt", &labels);
    fn embed<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["embed", "good.csv", "--subsample", "25", "--seed", "3"][..], more, &QUICK].concat()
    }
    folder.done(&embed(&["--id", "ids.txt", "-o", "some.csv", "-o", "some.npy", "--report", "report.json"]));
    assert_eq!(folder.report()["n"], 25);
    let table = String::from_utf8(folder.read("some.csv")).expect("text");
    assert_eq!(table.lines().next(), Some("x,y,id"));
    let rows: Vec<usize> =
        table.lines().skip(1).map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect();
    assert!(rows.len() == 25 && rows.is_sorted() && rows[24] < 40);
    // A start of all rows is that of those that are left.
    folder.write("all.npy", npy("<f4", 40, 2, (0..80).map(|i| (i * i % 31) as f32)));
    folder.write(
        "left.npy",
        npy("<f4", 25, 2, rows.iter().flat_map(|i| [2 * i, 2 * i + 1]).map(|i| (i * i % 31) as f32)),
    );
    for start in ["all", "left"] {
        folder.done(&embed(&["--init", &format!("{start}.npy"), "-o", &format!("from-{start}.npy")]));
    }
    assert!(folder.map("from-all.npy") == folder.map("from-left.npy"));
    folder.write("short.npy", npy("<f4", 30, 2, (0..60).map(|i| i as f32)));
    folder.refused(
        &embed(&["--init", "short.npy", "-o", "x.npy"]),
        &["short.npy: holds [30, 2], where a map of [25, 2]"],
    );
    folder.write("pairs.csv", "0,1,1\n1,2,1\n");
    let affinities = ["--affinity", "precomputed", "--affinities", "pairs.csv", "-o", "x.npy"];
    folder.refused(
        &embed(&affinities),
        &["--affinities pairs.csv: it counts all 40 rows of the input, of which 25 are left"],
    );
    folder
        .refused(&embed(&["--neighbors-file", "n.npz", "-o", "x.npy"]), &["--neighbors-file n.npz: it counts all 40"]);
    folder.refused(
        &["embed", "good.csv", "--subsample", "41", "-o", "x.npy"],
        &["--subsample 41: good.csv has 40 rows; give at most that"],
    );
}

#[test]
fn columns_and_treatments_reach_embed_and_cluster() {
    let folder = Folder::new();
    folder.write(
        "mixed.csv",
        table("name,a,b\n", 40, |i, m| match m {
            0 => format!("n{i}"),
            _ if i == 7 && m == 1 => String::new(),
            m => value(i, m).abs().to_string(),
        }),
    );
    let options = ["--columns", "a,b", "--missing", "drop", "--normalize", "sum", "--log1p", "--standardize"];
    folder.done(&[&["embed", "mixed.csv", "--id", "name", "-o", "m.csv"][..], &options, &QUICK].concat());
    let map = String::from_utf8(folder.read("m.csv")).expect("text");
    assert_eq!(map.lines().count(), 40);
    assert!(map.contains(",n6\n") && !map.contains(",n7\n"), "{map}");
    let ran = folder.done(
        &[&["cluster", "mixed.csv", "--components", "2", "-o", "c.csv", "--device", "cpu"][..], &options].concat(),
    );
    assert!(ran.stderr.contains("1 row with missing values left out"), "{}", ran.stderr);
    folder.refused(&["embed", "mixed.csv", "-o", "x.npy"], &["mixed.csv: line 2, column name is \"n0\", not a number"]);
    folder.refused(
        &["embed", "mixed.csv", "--columns", "a,b", "-o", "x.npy"],
        &["line 9, column a is empty", "--missing"],
    );
    folder.refused(&["embed", "good.csv", "--rgb", "-o", "x.npy"], &["good.csv is no folder of pictures"]);
    folder.refused(&["embed", "good.csv", "--image-size", "0", "-o", "x.npy"], &["--image-size 0", "64x48"]);
}

/// What --plan prints is taken by --config, and gives the same bytes; what is given beside it goes before; wrong files are named.
#[test]
fn a_run_is_repeated_from_its_file() {
    let folder = Folder::new();
    let job = ["embed", "sample:digits", "--subsample", "200", "--perplexity", "8,20", "--standardize", "--seed", "7"];
    let more = ["--iterations", "60", "--learning-rate", "150.5", "--device", "cpu", "--init", "random"];
    let job = [&job[..], &more].concat();
    folder.done(&[&job[..], &["-o", "a.npy", "-o", "a.csv"]].concat());
    let toml = folder.done(&[&job[..], &["-o", "b.npy", "--plan"]].concat()).stdout;
    folder.write("run.toml", &toml);
    assert!(toml.starts_with(&format!("nearfield = \"{}\"\n", env!("CARGO_PKG_VERSION"))), "{toml}");
    assert!(toml.contains("perplexity = [8, 20]\n") && toml.contains("learning-rate = 150.5\n"), "{toml}");
    let ran = folder.done(&["embed", "--config", "run.toml"]);
    assert_eq!(folder.read("b.npy"), folder.read("a.npy"));
    assert!(!ran.stderr.contains("not quite"), "{}", ran.stderr);
    // The same again from what is printed of that.
    let again = folder.done(&["embed", "--config", "run.toml", "--plan"]).stdout;
    assert_eq!(again, toml);
    let ran = folder.done(&["embed", "--config", "run.toml", "--iterations", "30", "-o", "c.npy", "--seed=8"]);
    assert!(ran.stderr.contains("30 iterations, objective"), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("not quite that of run.toml: iterations, phases, seed came out otherwise"),
        "{}",
        ran.stderr
    );
    assert_ne!(folder.read("c.npy"), folder.read("a.npy"));
    // By hand, without a table.
    folder.write("hand.toml", "input = 'sample:digits' # the smallest\nsubsample = 200\nperplexity = [8.0, 20]\nstandardize = true\nlog1p = false\nthreads = 1\n");
    let by_hand = ["embed", "--config=hand.toml", "--seed", "7", "-o", "d.npy"];
    folder.done(&[&by_hand[..], &more].concat());
    assert_eq!(folder.read("d.npy"), folder.read("a.npy"));
    for (text, parts) in [
        ("perplexity = [8\n", &["bad.toml: line 1 is no TOML: "][..]),
        ("perplexty = 8\n", &["bad.toml: --perplexty: no such argument", "--perplexity"]),
        ("perplexity = 'much'\n", &["bad.toml: --perplexity much: "]),
        ("perplexity = { is = 8 }\n", &["bad.toml: perplexity is no text, number or truth value"]),
        ("method = ['tsne', 'mds']\n", &["bad.toml: --method: it is given more than once"]),
        ("plan = true\n", &["bad.toml: plan does not go into a file; give it beside --config"]),
        ("input = 3\n", &["bad.toml: input is no text"]),
        ("options = 3\n", &["bad.toml: options is no table"]),
    ] {
        folder.write("bad.toml", text);
        folder.refused(&["embed", "sample:digits", "--config", "bad.toml", "-o", "x.npy"], parts);
    }
    folder.write("bare.toml", "seed = 3\n");
    folder.refused(&["embed", "--config", "bare.toml", "-o", "x.npy"], &["bare.toml: it names no input"]);
    folder.refused(&["embed", "--config", "bare.toml", "sample:digits"], &["bare.toml: it names no output"]);
    folder.refused(&["embed", "--config", "no.toml", "-o", "x.npy"], &["no.toml: cannot be read"]);
    folder.refused(&["embed", "--config", "run.toml", "--report", "run.toml"], &["run.toml: is read by this command"]);
}

/// An old map is the start of one with more rows: points of the same names where they were, the others among their neighbours.
#[test]
fn a_kept_map_starts_one_with_more_rows() {
    let folder = Folder::new();
    let rows = |keep: &dyn Fn(usize) -> bool| {
        let row = |i: usize| {
            let (group, at) = ((i % 3) as f64, i as f64);
            format!(
                "p{i},{:.4},{:.4},{:.4}\n",
                9.0 * group + (0.7 * at).sin(),
                (1.3 * at).cos() - 5.0 * group,
                (2.1 * at).sin()
            )
        };
        "name,a,b,c\n".to_owned() + &(0..120).filter(|&i| keep(i)).map(row).collect::<String>()
    };
    folder.write("old.csv", rows(&|i| i % 5 != 0));
    folder.write("all.csv", rows(&|_| true));
    let job = ["--id", "name", "--perplexity", "8", "--device", "cpu"];
    folder.done(
        &[&["embed", "old.csv", "-o", "old.nearfield", "-o", "old.npy", "--iterations", "300"][..], &job].concat(),
    );
    let start = ["embed", "all.csv", "--init", "old.nearfield", "--iterations", "0", "-o", "start.npy"];
    let ran = folder.done(&[&start[..], &job].concat());
    let said = "96 points start where old.nearfield has them, the other 24 among their neighbours";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    let (old, start) = (folder.map("old.npy"), folder.map("start.npy"));
    // The map that is written is centred; what is kept between two points are their differences.
    let place = |i: usize| [start[2 * i], start[2 * i + 1]];
    let kept: Vec<usize> = (0..120).filter(|i| i % 5 != 0).collect();
    for (row, &i) in kept.iter().enumerate() {
        for c in 0..2 {
            let (was, is) = (old[2 * row + c] - old[c], place(i)[c] - place(kept[0])[c]);
            assert!((was - is).abs() < 1e-4, "point {i}: {was} and {is}");
        }
    }
    // A new one is nearer to the middle of its own group than to that of another.
    let middle = |group: usize| {
        let of: Vec<usize> = kept.iter().copied().filter(|i| i % 3 == group).collect();
        [0, 1].map(|c| of.iter().map(|&i| place(i)[c]).sum::<f32>() / of.len() as f32)
    };
    let middles = [0, 1, 2].map(middle);
    for i in (0..120).step_by(5) {
        let far = |group: usize| (0..2).map(|c| (place(i)[c] - middles[group][c]).powi(2)).sum::<f32>();
        assert!((0..3).all(|group| group == i % 3 || far(group) > far(i % 3)), "point {i}");
    }
    let end =
        ["embed", "all.csv", "--init", "old.nearfield", "--exaggeration", "1", "--iterations", "50", "-o", "e.npy"];
    folder.done(&[&end[..], &job].concat());
    let bare =
        ["embed", "all.csv", "--columns", "a,b,c", "--init", "old.nearfield", "--perplexity", "8", "-o", "x.npy"];
    folder.refused(
        &bare,
        &["--init old.nearfield: its points have names, and those of the input have none; name them by --id"],
    );
    folder.write("strangers.csv", rows(&|_| true).replace("\np", "\nq"));
    let strangers = ["embed", "strangers.csv", "--init", "old.nearfield", "-o", "x.npy"];
    folder.refused(&[&strangers[..], &job].concat(), &["it has none of the input's points"]);
    let flat = ["embed", "all.csv", "--init", "old.nearfield", "--dims", "3", "-o", "x.npy"];
    folder.refused(&[&flat[..], &job].concat(), &["holds a map in 2 dimensions"]);
}

/// Little, as usual, much; with colours where they are asked for; errors always.
#[test]
fn as_much_is_said_as_is_asked_for() {
    let folder = Folder::new();
    let job = ["embed", "sample:digits", "--subsample", "60", "--iterations", "20", "-o", "m.npy", "--device", "cpu"];
    let with = |more: &[&str]| folder.done(&[&job[..], more].concat()).stderr;
    assert_eq!(with(&["--quiet"]), "");
    assert_eq!(folder.done(&[&["-q"][..], &job].concat()).stderr, "", "before the command, too");
    let usual = with(&[]);
    let count = |text: &str| usual.lines().filter(|line| line.contains(text)).count();
    assert_eq!(
        (count("20 iterations, objective"), count("in 2 dimensions"), count("affinities:")),
        (1, 0, 0),
        "{usual}"
    );
    let much = with(&["-v"]);
    for line in ["tsne of 60 points in 2 dimensions: perplexity ", "neighbours: ", "affinities: ", "descent: "] {
        assert_eq!(much.lines().filter(|said| said.starts_with(&format!("nearfield: {line}"))).count(), 1, "{much}");
    }
    assert!(!much.contains('\u{1b}'), "colours without a terminal: {much}");
    let colourful = folder.run(&[&job[..], &["--color", "always"]].concat()).stderr;
    assert!(colourful.lines().all(|line| line.starts_with("\u{1b}[32mnearfield:\u{1b}[0m ")), "{colourful:?}");
    let ran = folder.run(&["embed", "no.npy", "-o", "x.npy", "--quiet", "--color=always"]);
    let error = "\u{1b}[31m\u{1b}[1mnearfield:\u{1b}[0m no.npy: no such file; check the path\n";
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(2), error));
    folder.refused(&[&job[..], &["-q", "-v"]].concat(), &["it does not go with"]);
    folder.refused(&[&job[..], &["--color", "sometimes"]].concat(), &["--color sometimes", "auto, always, never"]);
    let help = folder.run(&["embed", "-h", "--color", "always"]).stdout;
    assert!(help.contains('\u{1b}'), "help has its colours from the same option");
}

/// Columns that are not embedded arrive in the map beside their own rows.
#[test]
fn columns_are_carried_along() {
    let folder = Folder::new();
    let cells = |i: usize, m: usize| match m {
        0 => format!("n{i}"),
        1 => (i as f64 / 8.0).to_string(),
        2 => {
            if i % 7 == 3 {
                String::new()
            } else {
                i.to_string()
            }
        }
        m => value(i, m).to_string(),
    };
    folder.write("mixed.csv", table("name,weight,count,a,b\n", 40, cells));
    let embed = |input: &str, more: &[&str]| {
        let options = ["embed", input, "--carry", "count,weight", "--id", "name", "--subsample", "30"];
        [&options[..], more, &QUICK].concat().iter().map(|word| word.to_string()).collect::<Vec<_>>()
    };
    fn words(line: &[String]) -> Vec<&str> {
        line.iter().map(String::as_str).collect()
    }
    let ran = folder.done(&words(&embed("mixed.csv", &["-o", "m.csv", "--report", "report.json"])));
    assert!(ran.stderr.contains("column count is carried as text, since"), "{}", ran.stderr);
    assert_eq!(folder.report()["input_dims"], 2);
    let check = |name: &str| {
        let map = String::from_utf8(folder.read(name)).expect("text");
        let mut lines = map.lines();
        assert_eq!(lines.next(), Some("x,y,id,weight,count"));
        for line in lines.by_ref() {
            let fields: Vec<&str> = line.split(',').collect();
            let i: usize = fields[2][1..].parse().expect("a row's number");
            assert_eq!(fields[3..], [cells(i, 1), cells(i, 2)], "{line}");
        }
        assert_eq!(map.lines().count(), 31);
    };
    check("m.csv");
    if render::WRITERS.iter().any(|writer| writer.extension == "parquet") {
        // All through Parquet, and back as it was.
        folder.done(&words(&embed("mixed.csv", &["-o", "m.parquet"])));
        let again = ["embed", "m.parquet", "--carry", "weight,count", "--id", "id", "-o", "again.csv"];
        folder.done(&[&again[..], &QUICK].concat());
        check("again.csv");
    }
    for (asked, parts) in [
        ("elsewhere", &["--carry elsewhere: mixed.csv has no such column", "weight, count"][..]),
        ("weight,weight", &["--carry: ", "is named twice"]),
    ] {
        folder.refused(&["embed", "mixed.csv", "--columns", "a,b", "--carry", asked, "-o", "x.npy"], parts);
    }
    folder.write("axes.csv", table("x,y,z\n", 40, |i, m| value(i, m).to_string()));
    folder.refused(
        &["embed", "axes.csv", "--carry", "x", "-o", "m.csv"],
        &["--carry x: the map has a column of that name itself"],
    );
    folder.refused(
        &["embed", "sample:digits", "--carry", "3", "-o", "m.csv"],
        &["--carry 3: sample:digits has no columns beside its values"],
    );
}

/// Saved maps come back as they were, whoever saved them, and stand beside each other turned to match.
#[test]
fn saved_maps_are_drawn_again() {
    let folder = Folder::new();
    folder.write(
        "l.csv",
        table("kind,name,weight,a,b,c\n", 40, |i, m| match m {
            0 => format!("k{}", i % 3),
            1 => format!("n{i}"),
            2 => (i as f64 / 4.0).to_string(),
            m => value(i, m).to_string(),
        }),
    );
    let columns = ["--labels", "kind", "--id", "name", "--carry", "weight", "--columns", "a..c"];
    folder.done(&[&["embed", "l.csv", "-o", "m.csv", "-o", "m.npy", "-o", "m.png"][..], &columns, &QUICK].concat());
    folder.done(&["plot", "m.csv", "-o", "again.csv", "-o", "again.npy", "-o", "again.svg", "--title", "a <title>"]);
    assert!(folder.read("again.csv") == folder.read("m.csv") && folder.read("again.npy") == folder.read("m.npy"));
    let svg = String::from_utf8(folder.read("again.svg")).expect("text");
    assert!(svg.contains("a &lt;title&gt;") && svg.contains(">k2</text>") && svg.matches("h0").count() >= 40);
    // By a column of numbers there is a scale in place of a list.
    folder.done(&["plot", "m.csv", "-o", "by.svg", "--color-by", "weight", "--point-size", "5", "--dpi", "300"]);
    let svg = String::from_utf8(folder.read("by.svg")).expect("text");
    assert!(svg.contains("<image") && !svg.contains(">k2</text>") && svg.contains("in\" height"));
    if render::WRITERS.iter().any(|writer| writer.extension == "parquet") {
        folder.done(&["plot", "m.csv", "-o", "m.parquet"]);
        folder.done(&["plot", "m.parquet", "-o", "again.csv"]);
        assert!(folder.read("again.csv") == folder.read("m.csv"));
    }
    // Mirrored, turned by a right angle, twice as large, its rows reversed: the names tell which is which.
    let map = String::from_utf8(folder.read("m.csv")).expect("text");
    let turned: Vec<String> = map
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<&str> = line.split(',').collect();
            let at = |k: usize| fields[k].parse::<f64>().expect("a number");
            format!("{},{},{}\n", 2.0 * at(1) + 7.0, 2.0 * at(0) - 3.0, fields[3])
        })
        .collect();
    folder.write("turned.csv", "UMAP_1,UMAP_2,id\n".to_owned() + &turned.iter().rev().cloned().collect::<String>());
    let ran =
        folder.done(&["plot", "m.csv", "turned.csv", "-o", "both.png", "-o", "both.svg", "--titles", "one,other"]);
    assert!(ran.stderr.contains("other aligned, disparity 0.000"), "{}", ran.stderr);
    let both = String::from_utf8(folder.read("both.svg")).expect("text");
    assert!(both.contains(">one</text>") && both.contains(">other</text>") && both.matches(">k2</text>").count() == 1);
    // Without names by row, and reversed rows are not alike.
    folder.write(
        "bare.csv",
        "x,y\n".to_owned()
            + &turned.iter().rev().map(|line| line.rsplit_once(',').unwrap().0.to_owned() + "\n").collect::<String>(),
    );
    let ran = folder.done(&["plot", "m.csv", "bare.csv", "-o", "both.png"]);
    assert!(!ran.stderr.contains("disparity 0.000"), "{}", ran.stderr);

    folder.write("short.csv", table("x,y\n", 20, |i, m| value(i, m).to_string()));
    folder.write("wide.csv", table("x,y,z\n", 40, |i, m| value(i, m).to_string()));
    folder.write("words.csv", table("a,b\n", 40, |i, _| format!("w{i}")));
    let cases: &[(&[&str], &[&str])] = &[
        (&["m.csv", "short.csv"], &["short.csv: has 20 points, and m.csv has 40", "--align none"]),
        (&["m.csv", "short.csv", "--align", "none"], &["short.csv: has no labels, where m.csv has"]),
        (&["bare.csv", "wide.csv"], &["wide.csv: has 3 dimensions, and bare.csv has 2"]),
        (&["m.csv", "--color-by", "height"], &["--color-by height: m.csv has no such column"]),
        (&["m.csv", "--titles", "a,b"], &["--titles: 2 titles for 1 maps"]),
        (&["m.csv", "--columns", "x"], &["m.csv: 1 of its columns are coordinates"]),
        (&["words.csv"], &["words.csv: 0 of its columns are coordinates"]),
        (&["none.csv"], &["none.csv: no such file"]),
        (&["sample:digits"], &["sample:digits: is no file of a map"]),
    ];
    for (arguments, parts) in cases {
        folder.refused(&[&["plot", "-o", "x.png"], *arguments].concat(), parts);
    }
    folder.refused(&["plot", "m.csv", "bare.csv", "-o", "x.csv"], &["x.csv: several maps are not written as .csv"]);
    folder.refused(&["plot", "m.csv", "-o", "./m.csv"], &["./m.csv: is read by this command"]);
}

#[test]
fn pictures_are_drawn_at_their_places_or_on_a_grid() {
    let folder = Folder::new();
    let digits = ["embed", "sample:digits", "--subsample", "120", "-o", "m.npy"];
    folder.done(&[&digits[..], &["--atlas", "a.png", "--dpi", "300"], &QUICK].concat());
    folder.done(&[&digits[..], &["--atlas", "grid.png", "--grid"], &QUICK].concat());
    let size = |name: &str| {
        let picture = image::load_from_memory(&folder.read(name)).expect("a picture").to_rgb8();
        // Digits are light on black, which paper and letters are not.
        assert!(picture.pixels().filter(|pixel| pixel.0 == [0; 3]).count() * 200 > picture.pixels().len(), "{name}");
        picture.dimensions()
    };
    assert!(size("a.png").0 >= 600 && size("grid.png").0 >= 600);
    folder.refused(
        &[&digits[..], &["--atlas", "a.png", "--dims", "3"]].concat(),
        &["--atlas: pictures are placed in two"],
    );
    folder.refused(
        &["embed", "sample:digits", "--columns", "1..5", "-o", "m.npy", "--atlas", "x.png"],
        &["are no pictures"],
    );
}

/// Every metric gives a map, on the CPU; what it cannot do is refused with its reason.
#[test]
fn metrics_run_or_are_refused() {
    let folder = Folder::new();
    fn of<'a>(metric: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["embed", "good.csv", "--metric", metric, "-o", "m.npy"][..], more, &QUICK].concat()
    }
    for metric in ["manhattan", "chebyshev", "correlation", "hamming", "cosine"] {
        let ran = folder.done(&of(metric, &["--report", "report.json"]));
        assert_eq!(folder.report()["plan"]["metric"], metric, "{}", ran.stderr);
        assert!(folder.map("m.npy").iter().all(|y| y.is_finite()));
        folder.done(&of(metric, &["--method", "sammon"]));
        folder.refused(&of(metric, &["--pca", "2"]), &["--pca: ", "use --metric euclidean"]);
        match metric {
            "cosine" | "correlation" => drop(folder.done(&of(metric, &["--knn", "inverted"]))),
            _ => drop(folder.refused(
                &of(metric, &["--knn", "inverted"]),
                &["--knn inverted: inverted lists have cells of Euclidean"],
            )),
        }
    }
    folder.refused(
        &["embed", "good.csv", "--metric", "precomputed", "--standardize", "-o", "m.npy"],
        &["--standardize: distances have no columns to treat"],
    );
}

/// `numpy.savez` of the neighbours that an exact search finds makes the map of that search.
#[test]
fn neighbors_of_a_file_are_those_of_the_job() {
    let folder = Folder::new();
    let points = ndarray::Array2::from_shape_fn((40, 3), |(i, m)| value(i, m) as f32);
    let found = nearfield::knn::exact(points.view(), 12, nearfield::knn::Metric::Euclidean).expect("sound");
    folder.write("points.npy", npy("<f4", 40, 3, points.iter().copied()));
    let with_self = |values: Vec<f32>, own: &dyn Fn(usize) -> f32| -> Vec<f32> {
        values.chunks(12).enumerate().flat_map(|(i, row)| [&[own(i)][..], row].concat()).collect()
    };
    let indices = with_self(found.indices.iter().map(|&j| j as f32).collect(), &|i| i as f32);
    let distances = with_self(found.d2.iter().map(|d2| d2.sqrt()).collect(), &|_| 0.0);
    let whole: Vec<u8> = indices.iter().flat_map(|&j| (j as i32).to_le_bytes()).collect();
    let mut of_indices = npy("<i4", 40, 13, []);
    of_indices.extend(whole);
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in [("indices.npy", of_indices), ("distances.npy", npy("<f4", 40, 13, distances))] {
        archive.start_file(name, zip::write::SimpleFileOptions::default()).expect("memory");
        std::io::Write::write_all(&mut archive, &bytes).expect("memory");
    }
    folder.write("n.npz", archive.finish().expect("memory").into_inner());
    fn embed<'a>(more: &[&'a str]) -> Vec<&'a str> {
        [&["embed", "points.npy", "--device", "cpu", "--iterations", "0"][..], more].concat()
    }
    let kl = |more: &[&str]| {
        folder.done(&embed(&[&["-o", "m.npy", "--report", "report.json"][..], more].concat()));
        let report = folder.report();
        (report["kl"].as_f64().expect("a number"), report["knn"].clone())
    };
    let (want, _) = kl(&["--neighbors", "12", "--perplexity", "4"]);
    let (got, knn) = kl(&["--neighbors-file", "n.npz", "--perplexity", "4"]);
    assert!((got - want).abs() < 1e-6 * want, "{got} and {want}");
    assert_eq!((knn["kind"].as_str(), knn["k"].as_u64()), (Some("given"), Some(12)));
    assert!(knn["recall"].is_null(), "{knn}");
    // Fewer are the nearest of them.
    let (want, _) = kl(&["--neighbors", "6", "--perplexity", "2"]);
    let (got, _) = kl(&["--neighbors-file", "n.npz", "--neighbors", "6", "--perplexity", "2"]);
    assert!((got - want).abs() < 1e-6 * want, "{got} and {want}");
    let refused = |more: &[&str], parts: &[&str]| {
        folder.refused(&embed(&[&["-o", "x.npy", "--neighbors-file", "n.npz"][..], more].concat()), parts);
    };
    refused(&["--neighbors", "13"], &["--neighbors: the file has 12 for every point"]);
    refused(&["--perplexity", "30"], &["perplexity: 30 is out of reach of 12 neighbours a point"]);
    refused(&["--knn", "exact"], &["--neighbors-file: its neighbours are not sought"]);
    refused(&["--method", "mds"], &["--neighbors-file: distance methods need all pairs"]);
    refused(&["--method", "nerv"], &["--neighbors-file: below --lambda 1 all others are neighbours"]);
}

/// A matrix that does not fit in the memory allowed goes through its principal components from the disk, to the same map; without them
/// it is refused.
#[test]
fn a_matrix_larger_than_memory_is_embedded_by_its_components() {
    let folder = Folder::new();
    let (n, m) = (40_000, 700);
    let mut bytes = npy("|u1", n, m, []);
    bytes.extend((0..n * m).map(|at| (value(at / m, at % m).abs() * (40_000 / (1 + at % m)).min(250) as f64) as u8));
    folder.write("large.npy", bytes);
    fn embed<'a>(memory: &'a str, output: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let job = ["embed", "large.npy", "--device", "cpu", "--iterations", "0", "--affinity", "uniform"];
        [&job[..], &["--host-memory", memory, "-o", output], more].concat()
    }
    let ran = folder.done(&embed("105MB", "small.npy", &["--report", "report.json"]));
    assert!(ran.stderr.contains("does not fit in memory and is read from its file"), "{}", ran.stderr);
    let peak = folder.report()["peak_bytes"]["host"].as_u64().expect("a number");
    assert!(peak < 105_000_000, "the job held {peak} bytes");
    folder.done(&embed("2GB", "large-map.npy", &[]));
    assert!(folder.map("small.npy") == folder.map("large-map.npy"));
    let parts = ["large.npy: 40000 rows of 700 columns take 112 MB without principal components"];
    folder.refused(&embed("105MB", "x.npy", &["--pca", "off"]), &parts);
}

#[test]
fn a_film_of_the_run_changes_nothing_in_the_map() {
    let folder = Folder::new();
    let embed = |more: &[&str]| folder.done(&[&["embed", "good.csv"], &QUICK[..], more].concat());
    embed(&["-o", "plain.npy"]);
    embed(&["-o", "filmed.npy", "-o", "map.html", "--frames", "film", "--report", "report.json"]);
    assert!(folder.read("plain.npy") == folder.read("filmed.npy"));
    // The start and every one of the 20 iterations.
    assert_eq!(folder.report()["plan"]["frame_every"], 1);
    let film: Vec<PathBuf> =
        fs::read_dir(folder.path("film")).expect("made").map(|file| file.expect("readable").path()).collect();
    assert_eq!(film.len(), 21);
    assert!(film.contains(&folder.path("film").join("frame-0020.png")));
    embed(&["-o", "filmed.npy", "--frames", "film.gif"]);
    assert!(folder.read("film.gif").starts_with(b"GIF89a"));
    folder.refused(&["embed", "good.csv", "-o", "map.npy", "--frames", "film.mp4"], &["film.mp4", ".gif"]);
    folder.refused(&["embed", "good.csv", "-o", "map.npy", "--frames", "none/film"], &["none"]);
    folder.refused(&["embed", "good.csv", "-o", "film.png", "--frames", "film.png"], &["twice"]);
}

#[test]
fn samples_are_listed_with_source_and_licence() {
    let folder = Folder::new();
    let ran = folder.done(&["samples"]);
    for sample in input::SAMPLES {
        for said in [&format!("sample:{}", sample.name), sample.description, sample.licence] {
            assert!(ran.stdout.contains(said), "{said:?} is not in {}", ran.stdout);
        }
    }
}

#[test]
fn help_fits_and_is_complete() {
    let folder = Folder::new();
    let long = folder.command(&["embed", "--help"]).env("COLUMNS", "100").output().expect("it starts");
    let short = folder.command(&["embed", "-h"]).env("COLUMNS", "100").output().expect("it starts");
    let (long, short) = (told(long), told(short));
    assert_eq!((long.code, short.code), (Some(0), Some(0)));
    for line in long.stdout.lines().chain(short.stdout.lines()) {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
    assert!(2 * short.stdout.lines().count() < long.stdout.lines().count(), "-h is not short");
    let extensions =
        input::READERS.iter().flat_map(|reader| reader.extensions).map(|extension| format!(".{extension}"));
    let samples = input::SAMPLES.iter().map(|sample| format!("sample:{}", sample.name));
    let writers =
        render::WRITERS.iter().flat_map(|writer| [format!(".{}  ", writer.extension), writer.what.to_owned()]);
    for listed in extensions.chain(samples).chain(writers) {
        assert!(long.stdout.contains(&listed), "{listed} is not in the help");
    }
    // The values of an option are listed as `- value: …`, and may speak of other options.
    let names_option = |line: &str| line.starts_with('-') && !line.starts_with("- ");
    let named = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::trim_start).filter(|line| names_option(line));
        let words = lines.filter_map(|line| line.split("--").nth(1)?.split([' ', '<']).next());
        words.map(str::to_owned).collect()
    };
    assert_eq!(named(&short.stdout), named(&long.stdout));
    assert!(named(&long.stdout).len() > 20);
}

#[test]
fn closed_pipes_do_no_harm() {
    let folder = Folder::new();
    for arguments in [&["embed", "--help"][..], &["embed", "good.csv", "--plan", "--device", "cpu"], &["adapters"]] {
        let mut child =
            folder.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stdout.take());
        let ran = told(child.wait_with_output().expect("it ends"));
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
    for arguments in [&["embed", "good.csv", "-o", "map.csv"][..], &["embed", "missing.csv", "-o", "map.csv"]] {
        let mut child = folder.command(arguments).args(QUICK).stderr(Stdio::piped()).spawn().expect("it starts");
        drop(child.stderr.take());
        let code = child.wait().expect("it ends").code();
        assert_eq!(code, Some(if arguments[1] == "good.csv" { 0 } else { 2 }), "{arguments:?}");
    }
}

/// A device that is always full.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_fails_the_job_and_keeps_what_was_there() {
    let folder = Folder::new();
    std::os::unix::fs::symlink("/dev/full", folder.path("full.csv")).expect("a link");
    let cases: [(&[&str], &str); 2] = [
        (
            &["-o", "full.csv", "-o", "new.npy", "--report", "report.json"],
            "full.csv: the disk is full; free some space",
        ),
        (&["-o", "new.npy", "--report", "/dev/full"], "/dev/full: the disk is full; free some space"),
    ];
    for (outputs, said) in cases {
        let ran = folder.run(&[&["embed", "good.csv"], outputs, &QUICK].concat());
        assert_eq!(ran.code, Some(1), "{}", ran.stderr);
        let last = ran.stderr.lines().last().expect("a line");
        assert_eq!(last, format!("nearfield: {said}"));
        assert_eq!(ran.stderr.matches("the disk is full").count(), 1, "{}", ran.stderr);
        // The other outputs are worth having.
        assert_eq!(folder.map("new.npy").len(), 80);
        assert_eq!(folder.read("map.csv"), b"an old map");
    }
    assert_eq!(folder.files().len(), 5, "{:?}", folder.files().keys());
}

#[cfg(unix)]
mod interrupted {
    use super::{Folder, npy, value};
    use common::adapters::on_each;
    use nearfield::gpu::Options;
    use std::io::{BufRead, BufReader, Read};
    use std::process::{Child, ChildStderr, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::common;

    /// Far more than a signal takes and far less than the job would.
    const SOON: Duration = Duration::from_secs(6);

    /// A job on its way, with the end of what it says.
    struct Job {
        child: Child,
        stderr: BufReader<ChildStderr>,
    }

    impl Job {
        /// Starts a job of hours and waits until it says `sign`.
        fn start(mut command: Command, sign: &str) -> Job {
            command.args(["-o", "map.npy", "-o", "new.png", "--report", "report.json", "--iterations", "100000000"]);
            let mut child = command.stderr(Stdio::piped()).spawn().expect("it starts");
            let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
            let mut job = Job { child, stderr };
            job.wait_for(sign);
            job
        }

        fn wait_for(&mut self, sign: &str) {
            let mut line = String::new();
            while !line.contains(sign) {
                line.clear();
                assert!(self.stderr.read_line(&mut line).expect("text") > 0, "it ended before {sign:?}");
            }
        }

        fn signal(&self, name: &str) {
            let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
            assert!(sent.expect("kill runs").success());
        }

        /// Its exit code and the rest of what it says, if it ends soon.
        fn end(mut self) -> (Option<i32>, String) {
            let asked = Instant::now();
            let status = loop {
                if let Some(status) = self.child.try_wait().expect("it can be asked") {
                    break status;
                }
                if asked.elapsed() > SOON {
                    self.child.kill().expect("it can be killed");
                    panic!("it goes on after {SOON:?}");
                }
                std::thread::sleep(Duration::from_millis(5));
            };
            let mut rest = String::new();
            self.stderr.read_to_string(&mut rest).expect("text");
            (status.code(), rest)
        }
    }

    fn outputs_are_whole(folder: &Folder, points: usize) {
        let map = folder.map("map.npy");
        assert_eq!(map.len(), 2 * points);
        assert!(map.iter().all(|y| y.is_finite()));
        assert!(folder.read("new.png").len() > 1000);
        let report = folder.report();
        assert_eq!(report["stopped"], "interrupted");
        let last = report["trace"].as_array().expect("a list").last().expect("a reading");
        assert_eq!(last["iteration"], report["iterations"]);
        assert_eq!(last["objective"], report["objective"]);
    }

    /// Whether this process ignores SIGHUP, as under nohup: what it starts does so too, and is right to.
    fn ignores_hang_ups() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
    }

    #[test]
    fn in_the_descent_it_writes_what_there_is() {
        for signal in ["INT", "TERM", "HUP"] {
            if signal == "HUP" && ignores_hang_ups() {
                continue;
            }
            let folder = Folder::new();
            let job = Job::start(folder.command(&["embed", "sample:digits", "--device", "cpu"]), "iteration 50 of");
            job.signal(signal);
            let (code, rest) = job.end();
            assert_eq!(code, Some(130), "{signal}: {rest}");
            assert!(rest.lines().last().is_some_and(|line| line.contains("interrupted after ")), "{signal}: {rest}");
            outputs_are_whole(&folder, 1797);
        }
    }

    #[test]
    fn in_the_descent_on_a_gpu_it_writes_what_there_is() {
        on_each(Options::default(), |gpu| {
            let folder = Folder::new();
            let device = format!("gpu:{}", gpu.adapter().index);
            let job = Job::start(folder.command(&["embed", "sample:faithful", "--device", &device]), "iteration 50 of");
            job.signal("INT");
            let (code, rest) = job.end();
            assert_eq!(code, Some(130), "{rest}");
            outputs_are_whole(&folder, 272);
        });
    }

    #[test]
    fn before_the_descent_it_ends_at_once_and_leaves_nothing() {
        let folder = Folder::new();
        let (rows, columns) = (18_000, 60);
        let values = (0..rows * columns).map(|i| value(i / columns, i % columns) as f32);
        folder.write("large.npy", npy("<f4", rows, columns, values));
        let before = folder.files();
        let job = Job::start(folder.command(&["embed", "large.npy", "--device", "cpu"]), "computing on the CPU");
        job.signal("INT");
        let (code, rest) = job.end();
        assert_eq!(code, Some(130), "{rest}");
        assert!(!rest.contains("iteration"), "the signal came too late for this test: {rest}");
        assert!(folder.files() == before, "files were left behind");
    }

    #[test]
    fn twice_it_ends_without_writing() {
        let folder = Folder::new();
        // Of all pairs, so that the first signal alone would take some tenths of a second to be obeyed.
        let rows = 12_000;
        folder.write("slow.npy", npy("<f4", rows, 3, (0..3 * rows).map(|i| value(i / 3, i % 3) as f32)));
        let before = folder.files();
        let slow = ["embed", "slow.npy", "--device", "cpu", "--field", "exact", "--trace-every", "1"];
        let mut job = Job::start(folder.command(&slow), "iteration 1 of");
        job.signal("INT");
        job.wait_for("Ctrl-C again ends at once");
        job.signal("INT");
        let (code, rest) = job.end();
        assert_eq!(code, Some(130), "{rest}");
        assert!(!rest.contains("interrupted after"), "it waited for the first: {rest}");
        assert!(folder.files() == before, "files were left behind");
    }

    /// `nohup` has SIGHUP ignored, so that a job outlives its terminal; a handler of ours must not undo that.
    #[test]
    fn a_hang_up_that_is_ignored_stays_so() {
        let folder = Folder::new();
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_nearfield")]);
        shell.args(["embed", "sample:faithful", "--device", "cpu"]).current_dir(folder.0.path());
        let mut job = Job::start(shell, "iteration 50 of");
        job.signal("HUP");
        job.wait_for("iteration 2000 of");
        job.signal("INT");
        assert_eq!(job.end().0, Some(130));
    }
}

#[test]
fn a_shepard_diagram_holds_every_pair() {
    let folder = Folder::new();
    let job = ["embed", "good.csv", "-o", "map.npy", "--method", "mds", "--picture-size", "300"];
    folder.done(&[&job[..], &["-o", "map.png", "--shepard", "pairs.csv"]].concat());
    let text = fs::read_to_string(folder.0.path().join("pairs.csv")).expect("text");
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("i,j,input_distance,map_distance"));
    let rows: Vec<Vec<f64>> =
        lines.map(|line| line.split(',').map(|field| field.parse().expect("a number")).collect()).collect();
    assert_eq!(rows.len(), 40 * 39 / 2);
    let map = folder.map("map.npy");
    for row in &rows {
        let (i, j) = (row[0] as usize, row[1] as usize);
        let delta = (0..3).map(|m| (value(i, m) - value(j, m)).powi(2)).sum::<f64>().sqrt();
        let d = (0..2).map(|c| f64::from(map[2 * i + c] - map[2 * j + c]).powi(2)).sum::<f64>().sqrt();
        assert!((row[2] - delta).abs() <= 1e-5 * delta && (row[3] - d).abs() <= 1e-5 * d, "{row:?}: {delta}, {d}");
    }
    folder.done(&[&job[..], &["--shepard", "pairs.png"]].concat());
    let size = |name: &str| image::image_dimensions(folder.0.path().join(name)).expect("a picture");
    assert_eq!(size("pairs.png"), (1000, 780));
    let (width, height) = size("map.png");
    assert!(width.max(height) < 480, "{width} by {height}: the plot is 300 wide");
    folder
        .refused(&[&job[..], &["--shepard", "pairs.npy"]].concat(), &["pairs.npy: a Shepard diagram is .png or .csv"]);
    folder.refused(&[&job[..], &["--shepard", "map.npy"]].concat(), &["map.npy"]);
    let small = ["embed", "good.csv", "-o", "new.png", "--picture-size", "10"];
    folder.refused(&small, &["--picture-size 10", "from 200 to 8000"]);
}

#[test]
fn points_that_coincide_are_reported_where_they_lose_their_weight() {
    let folder = Folder::new();
    folder.write("twice.csv", table("", 40, |i, m| value(i.max(1), m).to_string()));
    let job = ["embed", "twice.csv", "-o", "map.npy", "--report", "report.json", "--iterations", "20", "--method"];
    let told = |method: &str| {
        folder.done(&[&job[..], &[method]].concat());
        let report = folder.report();
        let warnings = report["warnings"].as_array().expect("a list");
        warnings.iter().filter(|warning| warning.as_str().is_some_and(|text| text.contains("coincide"))).count()
    };
    assert_eq!((told("sammon"), told("mds")), (1, 0));
}

#[test]
fn completions_and_the_manual_know_every_option() {
    let folder = Folder::new();
    let help = folder.done(&["embed", "--help"]).stdout;
    let options: Vec<&str> = help
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("--").filter(|_| line.starts_with("      --")))
        .map(|option| option.split([' ', '=']).next().unwrap_or_default())
        .collect();
    assert!(options.len() > 40, "{options:?}");
    for of in ["bash", "elvish", "fish", "powershell", "zsh", "man"] {
        let text = folder.done(&["completions", of]).stdout.replace("\\-", "-");
        for option in &options {
            assert!(text.contains(option), "{of}: {option}");
        }
        for command in ["embed", "cluster", "score", "plot", "bench", "adapters", "samples"] {
            assert!(text.contains(command), "{of}: {command}");
        }
    }
    folder.write("bash", folder.done(&["completions", "bash"]).stdout);
    if let Ok(ran) = std::process::Command::new("bash").arg("-n").arg(folder.path("bash")).status() {
        assert!(ran.success(), "bash understands it");
    }
    assert_eq!(folder.run(&["completions", "cmd"]).code, Some(2));
}

#[test]
fn a_map_goes_to_stdout_as_a_table() {
    let folder = Folder::new();
    let job =
        ["embed", "good.csv", "-o", "-", "-o", "map.csv", "--perplexity", "5", "--iterations", "20", "--device", "cpu"];
    let ran = folder.done(&job);
    assert_eq!(ran.stdout.as_bytes(), folder.read("map.csv"));
    assert!(ran.stdout.starts_with("x,y\n") && ran.stdout.lines().count() == 41);
    let plotted = folder.done(&["plot", "map.csv", "-o", "-"]);
    assert_eq!(plotted.stdout, ran.stdout);
    let twice = folder.run(&["embed", "good.csv", "-o", "-", "-o", "-", "--perplexity", "5"]);
    assert!(twice.code == Some(2) && twice.stderr.contains("named twice"), "{}", twice.stderr);
}

#[test]
fn what_a_file_is() {
    let folder = Folder::new();
    folder.write(
        "kinds.csv",
        table("a,kind\n", 40, |i, m| if m == 0 { value(i, 0).to_string() } else { ["x", "y"][i % 2].into() }),
    );
    let told = |arguments: &[&str]| folder.done(&[&["info"], arguments].concat()).stdout;
    let good = told(&["good.csv"]);
    assert!(
        good.starts_with("good.csv: 40 rows of 3 columns\n") && good.contains("39 neighbours and 750 iterations"),
        "{good}"
    );
    assert!(told(&["kinds.csv", "--labels", "kind"]).contains("labels of 2 classes: x, y"));
    let digits = told(&["sample:digits"]);
    assert!(
        digits.starts_with("digits: 1797 rows of 64 columns\n") && digits.contains("values from 0 to 16"),
        "{digits}"
    );
    assert!(digits.contains("labels of 10 classes: 0, 1, 2"), "{digits}");
    folder.done(&[
        "embed",
        "good.csv",
        "-o",
        "map.csv",
        "-o",
        "map.png",
        "--report",
        "report.json",
        "--perplexity",
        "5",
        "--iterations",
        "20",
        "--device",
        "cpu",
    ]);
    let report = told(&["report.json"]);
    assert!(report.starts_with("a report of nearfield ") && report.contains("\nmethod: tsne\nn: 40\n"), "{report}");
    assert!(told(&["map.png"]).contains("a picture"));
    assert!(told(&["map.csv"]).starts_with("map.csv: 40 rows of 2 columns"));
    let ran = folder.run(&["info", "nothing.csv"]);
    assert!(ran.code == Some(2) && ran.stderr.contains("nothing.csv: no such file"), "{}", ran.stderr);
    folder.write("other.json", "{\"a\": 1}");
    assert_eq!(folder.run(&["info", "other.json"]).code, Some(2));
}

#[test]
fn a_map_is_scored_whoever_made_it() {
    let folder = Folder::new();
    let report = ["--score", "--report", "report.json", "--perplexity", "5", "--iterations", "50", "--device", "cpu"];
    folder.done(&[&["embed", "good.csv", "-o", "map.npy", "-o", "map.csv"], &report[..]].concat());
    let told = folder.report()["scores"].clone();
    let score =
        ["score", "good.csv", "map.csv", "--report", "scores.json", "--rnx", "rnx.csv", "--coranking", "ranks.csv"];
    let ran = folder.done(&[&score[..], &["--perplexity", "5"]].concat());
    let scores: Value = serde_json::from_slice(&folder.read("scores.json")).expect("JSON");
    for (name, value) in told.as_object().expect("scores") {
        let again = scores["scores"][name].as_f64().expect("the same");
        assert!((again - value.as_f64().expect("a number")).abs() <= 1e-9, "{name}");
        assert!(ran.stdout.contains(name), "{name}");
    }
    // The objective is the one that the job ended at.
    let (kl, objective) = (scores["scores"]["kl"].as_f64().expect("asked for"), folder.report()["objective"].as_f64());
    assert!((kl - objective.expect("a number")).abs() <= 1e-5 * kl, "{kl}, {objective:?}");
    assert_eq!(String::from_utf8(folder.read("rnx.csv")).expect("text").lines().count(), 1 + 38);
    assert_eq!(String::from_utf8(folder.read("ranks.csv")).expect("text").lines().count(), 39);
    folder.done(&["score", "good.csv", "map.npy", "--rnx", "rnx.png", "--coranking", "ranks.png", "--k", "3,7"]);
    for picture in ["rnx.png", "ranks.png"] {
        let picture = image::load_from_memory(&folder.read(picture)).expect("a picture").to_rgb8();
        assert!(picture.pixels().filter(|pixel| pixel.0 != [255; 3]).count() > 2000);
    }
    folder.write("four.npy", npy("<f4", 40, 4, (0..160).map(|i| (i * i % 31) as f32)));
    folder.write("other.csv", table("x,y\n", 39, |i, m| value(i, m).to_string()));
    let cases: &[(&[&str], &str)] = &[
        (&["other.csv"], "other.csv: has 39 points, and good.csv has 40"),
        (&["four.npy"], "four.npy: has 4 columns, where a map has 2 or 3"),
        (&["map.csv", "--k", "20"], "--k: 20 neighbours of 40 points; give 1 to 19"),
        (&["map.csv", "--rnx", "map.csv"], "map.csv: is read by this command"),
        (&["map.csv", "--coranking", "ranks.svg"], "ranks.svg: a co-ranking matrix is .png or .csv"),
        (&["map.csv", "--perplexity", "50"], "perplexity"),
    ];
    for (arguments, told) in cases {
        let ran = folder.run(&[&["score", "good.csv"], *arguments].concat());
        assert!(ran.code == Some(2) && ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
    }
}
