//! `nearfield cluster` and `nearfield embed --clusters` as their users meet them: exit codes, one line for every refusal, what
//! the outputs hold, the keys of the report.

mod common;

use common::adapters::on_each;
use nearfield::gpu::Options;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A folder that every test has for itself.
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
        let rows: String = (0..40).map(|i| format!("{},{},{}\n", i % 7, (i * i) % 11 + 20 * (i % 2), i)).collect();
        fs::write(folder.path("good.csv"), format!("a,b,kind\n{rows}")).expect("written");
        fs::write(folder.path("nan.csv"), "a,b\n1,2\n3,nan\n5,6\n7,8\n").expect("written");
        fs::write(folder.path("labels.csv"), "an old file").expect("written");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.text(name)).expect("JSON")
    }

    /// Shape and values of an array file.
    fn array<T: npyz::Deserialize>(&self, name: &str) -> (Vec<u64>, Vec<T>) {
        let bytes = fs::read(self.path(name)).expect("it is there");
        let npy = npyz::NpyFile::new(&bytes[..]).expect("an array file");
        (npy.shape().to_vec(), npy.into_vec().expect("values of this kind"))
    }

    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.0.path()).expect("there").map(|entry| entry.expect("readable").path());
        entries.map(|path| (path.clone(), fs::read(&path).unwrap_or_default())).collect()
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
        command.args(arguments).current_dir(self.0.path()).env_remove("XDG_RUNTIME_DIR").env_remove("NODEVICE_SELECT");
        let output = command.stdin(Stdio::null()).output().expect("it starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    fn done(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.lines().all(|line| line.starts_with("nearfield: ")), "{}", ran.stderr);
        ran
    }

    fn refused(&self, arguments: &[&str], parts: &[&str]) {
        let before = self.files();
        let ran = self.run(arguments);
        let wrong = wrong_with(&ran, parts);
        assert!(wrong.is_none(), "{arguments:?}: {}: {:?}", wrong.unwrap_or_default(), ran.stderr);
        assert!(self.files() == before, "{arguments:?}: files were written, changed or removed");
    }
}

/// What is wrong with a refusal.
fn wrong_with(ran: &Ran, parts: &[&str]) -> Option<String> {
    let lines: Vec<&str> = ran.stderr.lines().collect();
    let [line] = lines[..] else { return Some("not one line".into()) };
    if ran.code != Some(2) || !ran.stdout.is_empty() {
        return Some(format!("exit code {:?}, stdout {:?}", ran.code, ran.stdout));
    }
    let message = line.strip_prefix("nearfield: ");
    let formed = message.and_then(|message| message.rsplit_once("; ")).is_some_and(|(said, _)| said.contains(": "));
    if !formed {
        return Some("not of the form `what: cause; remedy`".into());
    }
    parts.iter().find(|part| !line.contains(**part)).map(|part| format!("{part:?} is not said"))
}

#[test]
fn a_wrong_refusal_is_seen() {
    let ran = |code, stdout: &str, stderr: &str| Ran { code: Some(code), stdout: stdout.into(), stderr: stderr.into() };
    let line = "nearfield: a: is b; do c\n";
    assert_eq!(wrong_with(&ran(2, "", line), &["is b"]), None);
    for bad in
        [ran(1, "", line), ran(2, "x", line), ran(2, "", "a: is b; c"), ran(2, "", &line.repeat(2)), ran(2, "", "")]
    {
        assert!(wrong_with(&bad, &["is b"]).is_some());
    }
    assert!(wrong_with(&ran(2, "", line), &["is d"]).is_some());
}

#[test]
fn what_cannot_be_done_is_refused_in_one_line() {
    let folder = Folder::new();
    let with = |more: &[&str], parts: &[&str]| {
        let mut arguments = vec!["cluster", "good.csv", "-o", "labels.csv"];
        arguments.extend(more);
        folder.refused(&arguments, parts);
    };
    with(&[], &["--components"]);
    with(&["--components", "0"], &["--components 0", "from 1"]);
    with(&["--components", "5..2"], &["5..2", "smaller first"]);
    with(&["--components", "41"], &["41 components of 40 points", "from 1 to 40"]);
    with(&["--components", "1..41"], &["41 components of 40 points"]);
    with(&["--components", "two"], &["--components two"]);
    with(&["--components", "2", "--covariance", "round"], &["round", "full, tied, diagonal, spherical"]);
    with(&["--components", "2", "--variational", "--covariance", "tied"], &["--variational", "leave out --covariance"]);
    with(&["--components", "1..3", "--variational"], &["1..3", "empties"]);
    with(&["--components", "2", "--concentration", "0.1"], &["--variational"]);
    with(&["--components", "2", "--variational", "--concentration", "0"], &["--concentration"]);
    with(&["--components", "2", "--floor", "0"], &["--floor"]);
    with(&["--components", "2", "--ridge", "-1"], &["--ridge"]);
    with(&["--components", "2", "--tolerance", "nan"], &["--tolerance"]);
    with(&["--components", "2", "--restarts", "0"], &["--restarts 0"]);
    with(&["--components", "2", "--device", "gpu:99"], &["gpu:99"]);
    with(&["--components", "2", "-o", "x.svg"], &["x.svg", ".csv, .npy, .png"]);
    with(&["--components", "2", "--responsibilities", "r.csv"], &["r.csv", ".npy"]);
    with(&["--components", "2", "--parameters", "p.npy"], &["p.npy", ".json"]);
    with(&["--components", "2", "--frames", "good.csv"], &["good.csv"]);
    with(&["--components", "2", "--frames", "no/where"], &["no"]);
    with(&["--components", "2", "--report", "labels.csv"], &["named twice"]);
    with(&["--components", "2", "-o", "good.csv"], &["is read by this command"]);
    with(&["--components", "2", "--wrong"], &["--wrong", "nearfield cluster --help"]);
    folder.refused(&["cluster", "good.csv", "--components", "2"], &["no output is asked for"]);
    folder.refused(&["cluster", "nan.csv", "--components", "2", "-o", "x.png"], &["nan.csv", "line 3"]);
    folder.refused(&["cluster", "none.csv", "--components", "2", "-o", "x.png"], &["none.csv"]);
    folder.refused(&["embed", "good.csv", "-o", "x.png", "--clusters", "41"], &["--clusters", "from 1 to 40"]);
    folder.refused(&["embed", "good.csv", "-o", "x.png", "--clusters", "0"], &["--clusters 0"]);
    folder.refused(&["embed", "good.csv", "-o", "x.png", "--clusters", "2", "--labels", "kind"], &["--labels"]);
}

#[test]
fn the_outputs_hold_what_they_should() {
    let folder = Folder::new();
    let ran = folder.done(&[
        "cluster",
        "sample:faithful",
        "--components",
        "2",
        "-o",
        "labels.csv",
        "-o",
        "labels.npy",
        "-o",
        "map.png",
        "--responsibilities",
        "r.npy",
        "--parameters",
        "p.json",
        "--report",
        "report.json",
        "--device",
        "cpu",
    ]);
    assert!(ran.stdout.is_empty());
    assert!(ran.stderr.contains("BIC 2322.192"), "{}", ran.stderr);
    let lines = folder.text("labels.csv");
    let labels: Vec<usize> = lines.lines().skip(1).map(|line| line.parse().expect("a number")).collect();
    assert_eq!((lines.lines().next(), labels.len()), (Some("component"), 272));
    let (shape, values) = folder.array::<i32>("labels.npy");
    assert_eq!(shape, [272]);
    assert!(values.iter().zip(&labels).all(|(&a, &b)| a as usize == b));
    assert_eq!(labels.iter().filter(|&&label| label == 0).count(), 175);
    let (shape, r) = folder.array::<f64>("r.npy");
    assert_eq!(shape, [272, 2]);
    for (row, &label) in r.chunks(2).zip(&labels) {
        assert!((row[0] + row[1] - 1.0).abs() < 1e-12 && row[label] >= 0.5, "{row:?}");
    }
    let parameters = folder.json("p.json");
    assert_eq!(parameters["covariance"], "full");
    assert!((parameters["weights"][0].as_f64().expect("a number") - 0.6441).abs() < 1e-4, "{parameters}");
    assert!((parameters["means"][0][1].as_f64().expect("a number") - 79.968).abs() < 1e-3, "{parameters}");
    assert_eq!(parameters["covariances"][1].as_array().map(Vec::len), Some(2));
    assert!(parameters["posterior"].is_null());
    assert!(fs::read(folder.path("map.png")).expect("there").starts_with(b"\x89PNG"));

    let report = folder.json("report.json");
    let near = |key: &str, want: f64| {
        let got = report[key].as_f64().unwrap_or(f64::NAN);
        assert!((got - want).abs() <= 1e-6 * want.abs(), "{key}: {got} instead of {want}");
    };
    near("log_likelihood", -1130.26396);
    near("bic", 2322.192);
    assert!(report["icl"].as_f64() > report["bic"].as_f64());
    assert!(report["elbo"].is_null());
    for (key, want) in [("components", 2), ("occupied", 2), ("n", 272), ("input_dims", 2), ("seed", 0)] {
        assert_eq!(report[key], want, "{key}");
    }
    for (key, want) in [("backend", "cpu"), ("stopped", "converged"), ("covariance", "full"), ("method", "mixture")] {
        assert_eq!(report[key], want, "{key}");
    }
    let trace = report["trace"].as_array().expect("a trace");
    assert_eq!(trace.len(), report["iterations"].as_u64().expect("a count") as usize + 1);
    let readings: Vec<f64> = trace.iter().map(|reading| reading["objective"].as_f64().expect("a number")).collect();
    assert!(readings.windows(2).all(|pair| pair[1] >= pair[0]), "{readings:?}");
    assert_eq!(report["restarts"].as_array().map(Vec::len), Some(5));
    for key in ["nearfield", "command", "plan", "adapter", "selection", "floor", "seconds", "peak_bytes", "warnings"] {
        assert!(report.get(key).is_some(), "{key} is missing");
    }
    // Its labels colour a map.
    folder.done(&[
        "embed",
        "sample:faithful",
        "--labels",
        "labels.csv",
        "-o",
        "map.csv",
        "--iterations",
        "5",
        "--device",
        "cpu",
    ]);
    assert!(folder.text("map.csv").starts_with("x,y,label\n"));
}

#[test]
fn parameters_have_scikit_learns_shapes() {
    let folder = Folder::new();
    for (covariance, depth) in [("tied", vec![2, 2]), ("diagonal", vec![3, 2]), ("spherical", vec![3])] {
        folder.done(&[
            "cluster",
            "good.csv",
            "--labels",
            "kind",
            "--components",
            "3",
            "--covariance",
            covariance,
            "--parameters",
            "p.json",
        ]);
        let mut value = &folder.json("p.json")["covariances"];
        for len in depth {
            assert_eq!(value.as_array().map(Vec::len), Some(len), "{covariance}");
            value = &value[0];
        }
        assert!(value.is_number(), "{covariance}");
    }
}

#[test]
fn several_numbers_of_components_are_tabled() {
    let folder = Folder::new();
    let ran = folder.done(&["cluster", "sample:faithful", "--components", "1..4", "--report", "report.json"]);
    assert!(ran.stderr.contains("1 component: log-likelihood -1289.79"), "{}", ran.stderr);
    let least: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("the least")).collect();
    assert!(least.len() == 1 && least[0].contains("2 components"), "{}", ran.stderr);
    let report = folder.json("report.json");
    assert_eq!(report["components"], 2);
    assert_eq!(report["selection"].as_array().map(Vec::len), Some(4));
    assert_eq!(report["selection"][1]["bic"], report["bic"]);
}

#[test]
fn a_variational_fit_reports_its_bound() {
    let folder = Folder::new();
    folder.done(&[
        "cluster",
        "sample:faithful",
        "--components",
        "6",
        "--variational",
        "--concentration",
        "0.001",
        "--restarts",
        "2",
        "--report",
        "report.json",
        "--parameters",
        "p.json",
    ]);
    let report = folder.json("report.json");
    assert!(report["elbo"].as_f64().expect("a bound") < report["log_likelihood"].as_f64().expect("a number"));
    assert!(report["bic"].is_null() && report["icl"].is_null());
    assert_eq!(report["components"], 6);
    assert!(report["occupied"].as_u64().expect("a count") < 6);
    assert_eq!(folder.json("p.json")["posterior"]["degrees"].as_array().map(Vec::len), Some(6));
}

#[test]
fn the_floor_is_reported_where_it_acts() {
    let folder = Folder::new();
    let rows: String = (0..20).map(|i| format!("{},{}\n", i, 2 * i)).collect();
    fs::write(folder.path("line.csv"), format!("a,b\n{rows}")).expect("written");
    let ran = folder.done(&["cluster", "line.csv", "--components", "1", "--report", "report.json"]);
    assert!(ran.stderr.contains("covariance floor"), "{}", ran.stderr);
    let report = folder.json("report.json");
    assert_eq!(report["floor"]["directions"], serde_json::json!([1]));
    assert!(report["warnings"][0].as_str().expect("a text").contains("floor"));
    let ran = folder.done(&["cluster", "sample:faithful", "--components", "2", "--report", "report.json"]);
    assert!(!ran.stderr.contains("floor"), "{}", ran.stderr);
}

#[test]
fn every_step_has_its_frame() {
    let folder = Folder::new();
    folder.done(&["cluster", "sample:faithful", "--components", "2", "--frames", "frames", "--report", "report.json"]);
    let steps = folder.json("report.json")["iterations"].as_u64().expect("a count") as usize;
    let size = |path: &Path| fs::read(path).expect("a frame")[16..24].to_vec();
    let frames: Vec<PathBuf> = (0..=steps).map(|step| folder.path(&format!("frames/step-{step:04}.png"))).collect();
    assert!(steps > 3 && frames.iter().all(|frame| size(frame) == size(&frames[0])), "one size for all");
    assert_eq!(fs::read_dir(folder.path("frames")).expect("there").count(), steps + 1, "and nothing else");
    assert_ne!(fs::read(&frames[0]).expect("there"), fs::read(&frames[steps]).expect("there"));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let folder = Folder::new();
    let run = |seed: &str, threads: &str, name: &str| {
        folder.done(&[
            "cluster",
            "sample:digits",
            "--components",
            "4",
            "--covariance",
            "diagonal",
            "--restarts",
            "1",
            "--seed",
            seed,
            "--threads",
            threads,
            "--responsibilities",
            name,
        ]);
        fs::read(folder.path(name)).expect("there")
    };
    let one = run("3", "1", "a.npy");
    assert_eq!(one, run("3", "2", "b.npy"));
    assert_ne!(one, run("4", "2", "c.npy"));
}

#[test]
fn the_plan_is_printed_and_nothing_is_run() {
    let folder = Folder::new();
    let before = folder.files();
    let ran = folder.done(&["cluster", "good.csv", "--components", "2..5", "--plan", "-o", "x.png"]);
    for line in ["components = [2, 5]", "covariance = \"full\"", "restarts = 5", "backend = \"cpu\"", "n = 40"] {
        // The list may be printed over several lines.
        let printed = ran.stdout.split_whitespace().collect::<String>().replace(",]", "]");
        let line: String = line.split_whitespace().collect();
        assert!(printed.contains(&line), "{line}: {}", ran.stdout);
    }
    assert!(folder.files() == before);
}

#[test]
fn a_map_is_coloured_by_its_clusters() {
    let folder = Folder::new();
    folder.done(&[
        "embed",
        "sample:digits",
        "--clusters",
        "3",
        "-o",
        "map.csv",
        "-o",
        "map.png",
        "--iterations",
        "20",
        "--device",
        "cpu",
        "--report",
        "report.json",
    ]);
    let table = folder.text("map.csv");
    let mut labels: Vec<&str> = table.lines().skip(1).filter_map(|line| line.rsplit(',').next()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels, ["0", "1", "2"]);
    let report = folder.json("report.json");
    assert_eq!(report["clusters"]["components"], 3);
    assert!(report["clusters"]["bic"].is_number());
}

#[test]
fn a_device_fits_too() {
    on_each(Options::default(), |gpu| {
        let folder = Folder::new();
        let device = gpu.adapter().name.clone();
        let arguments =
            ["cluster", "sample:faithful", "--components", "2", "--device", &device, "--report", "report.json"];
        folder.done(&arguments);
        let report = folder.json("report.json");
        assert_eq!(report["backend"], "gpu");
        assert_eq!(report["adapter"]["name"], device);
        let got = report["log_likelihood"].as_f64().expect("a number");
        assert!((got + 1130.26396).abs() <= 1e-6 * 1130.0, "{got}");
        assert!(report["peak_bytes"]["device"].as_u64() > Some(0));
    });
}

#[cfg(unix)]
#[test]
fn an_interrupted_fit_writes_what_there_is() {
    let folder = Folder::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    let arguments = ["cluster", "sample:digits", "--components", "10", "--restarts", "10000", "-o", "labels.csv"];
    command.args(arguments).args(["--report", "report.json", "--device", "cpu"]).current_dir(folder.0.path());
    let child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
    // Steps take hundredths of a second, all starts an hour.
    std::thread::sleep(std::time::Duration::from_secs(4));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(sent.success());
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8(output.stderr).expect("UTF-8");
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("interrupted after"), "{said}");
    assert_eq!(folder.text("labels.csv").lines().count(), 1798);
    assert_eq!(folder.json("report.json")["stopped"], "interrupted");
}
