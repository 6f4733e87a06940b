//! `nearfield bench` in its short form: answers agree, wrong ones have no time, the schema holds. No time is asserted but within wide limits.

mod common;

use common::adapters::chosen;
use nearfield::bench::report::{Old, SCHEMA, SCHEMA_VERSION};
use nearfield::bench::{Around, Backend, Report, Request, STAGES, Spoil, Stage, page, picture, run, table};
use nearfield::cli::bench_spoilt;
use nearfield::field::exact::exact_gpu;
use nearfield::gpu::{Gpu, Options};
use nearfield::objective::{Method, methods};
use nearfield::plan::Budget;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Tests that measure run one after the other: the peak of memory is the process's.
static TURN: Mutex<()> = Mutex::new(());

fn method(name: &str) -> &'static Method {
    methods().find(|method| method.name == name).expect("a method")
}

fn request(sizes: &[usize], stages: Vec<Stage>) -> Request<'static> {
    Request {
        input: None,
        sizes: sizes.to_vec(),
        methods: vec![method("tsne")],
        stages,
        repeat: Some(2),
        seed: 0,
        limit: None,
        memory: Budget::default(),
        spoil: None,
    }
}

fn every_stage() -> Vec<Stage> {
    STAGES.iter().map(|(stage, ..)| *stage).collect()
}

/// The CPU with all threads and with one, and the adapters under test.
fn backends() -> Vec<Backend> {
    let cpu = [Backend::cpu(None), Backend::cpu(Some(1))].map(|backend| backend.expect("threads"));
    cpu.into_iter().chain(chosen().iter().map(|adapter| Backend::gpu(adapter).expect("it opens"))).collect()
}

fn measure(request: &Request, backends: &[Backend]) -> Report {
    measure_until(request, backends, &|| false)
}

fn measure_until(request: &Request, backends: &[Backend], stop: &(dyn Fn() -> bool + Sync)) -> Report {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let around = Around { tell: &|_| (), note: &|_| (), stop, reset_peak: &|| false, peak: &|| 1 };
    run(request, backends, &around).expect("it can be measured")
}

fn json(report: &Report) -> Value {
    let mut bytes = Vec::new();
    report.json(&mut bytes).expect("written");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[test]
fn every_stage_has_a_right_answer_and_a_time_on_every_backend() {
    let backends = backends();
    let report = measure(&request(&[300, 600], every_stage()), &backends);
    report.verdict().expect("every answer is right");
    assert!(report.finished && report.cases.len() == 2);
    let mut compared = 0;
    for case in &report.cases {
        for (stage, name, _) in STAGES {
            for backend in &backends {
                let on_device = backend.device().is_some();
                let Some(entry) = case.of(&backend.label, stage) else {
                    assert!(on_device && stage.is_hosts(), "{name} on {} is missing", backend.label);
                    continue;
                };
                assert!(!entry.checks.is_empty() && entry.checks.iter().all(|check| check.holds()));
                let timing = entry.seconds.expect("a right answer has a time");
                assert_eq!(timing.repeats, 2, "{name} on {}", backend.label);
                assert!(0.0 < timing.min && timing.min <= timing.median && timing.median <= timing.max);
                assert_eq!(entry.model.is_some(), stage != Stage::Whole, "{name}");
                if let Some(rates) = entry.rates {
                    assert!(rates.bytes_per_second > 0.0 && rates.operations_per_second > 0.0);
                    let share = rates.of_limit.expect("the ceiling was measured");
                    assert!((1e-7..20.0).contains(&share), "{name} on {}: {share} of the limit", backend.label);
                }
                let timed = backend.device().is_some_and(|gpu| gpu.has_timestamps());
                let has_kernels = timed && stage != Stage::Whole;
                assert_eq!(!entry.kernels.is_empty(), has_kernels, "{name} on {}", backend.label);
                let cpu = case.of("cpu", stage).and_then(|entry| entry.seconds).expect("the CPU has every stage");
                let ratio = timing.median / cpu.median;
                assert!((1e-4..1e5).contains(&ratio), "{name} on {} takes {ratio} times as long", backend.label);
                compared += 1;
            }
        }
        assert_eq!(case.memory.len(), backends.len());
    }
    assert!(compared >= 2 * 2 * STAGES.len(), "only {compared} entries were compared");
    // The iteration is at least as long as its shortest part, whatever else the machine does.
    assert_eq!(report.growth.len(), 2 * backends.len(), "whole jobs and iterations, on each backend");
    assert_eq!(report.crossover.len(), backends.iter().filter(|backend| backend.device().is_some()).count());

    let text = table::text(&report, None);
    for line in text.lines() {
        assert!(line.chars().count() <= table::WIDTH, "too wide: {line}");
    }
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    assert!(text.contains("mixture, 600 × 50, tsne") && text.contains("whole"), "{text}");
}

#[test]
fn ceilings_are_checked() {
    for backend in backends() {
        // What it copies and sums is compared inside.
        let ceiling = backend.ceiling().expect("right sums");
        assert!(ceiling.copy.windows(2).all(|pair| pair[0].bytes < pair[1].bytes), "{ceiling:?}");
        assert!(ceiling.copy.iter().all(|rate| rate.bytes_per_second > 1e6) && ceiling.operations_per_second > 1e6);
        // The rate of the smallest copy that holds so much, and of the largest beyond.
        assert_eq!(ceiling.copy_rate(1.0), ceiling.copy[0].bytes_per_second);
        assert_eq!(ceiling.copy_rate(1e12), ceiling.copy[2].bytes_per_second);
        let (seconds, memory) = ceiling.least_seconds(1e9, 1e9, 0.0);
        assert!(memory && (seconds * ceiling.copy[2].bytes_per_second / 1e9 - 1.0).abs() < 1e-9);
        assert!(!ceiling.least_seconds(1.0, 1.0, 1e9).1);
    }
}

#[test]
fn a_lost_device_has_no_times_and_the_cpu_keeps_its_own() {
    for adapter in chosen() {
        let backends = [Backend::cpu(None).expect("threads"), Backend::gpu(&adapter).expect("it opens")];
        backends[1].device().expect("a device").inject_loss();
        let report = measure(&request(&[200], vec![Stage::Field, Stage::Whole]), &backends);
        let error = report.verdict().expect_err("a device is gone");
        assert_eq!(error.exit_code(), 1);
        for stage in [Stage::Field, Stage::Whole] {
            let entry = |label: &str| report.cases[0].of(label, stage).expect("it was tried");
            assert!(entry("cpu").seconds.is_some());
            let lost = entry(&backends[1].label);
            assert!(
                lost.seconds.is_none() && lost.missing.as_ref().is_some_and(|why| why.contains("no answer")),
                "{lost:?}"
            );
        }
    }
}

#[test]
fn a_profile_changes_no_number() {
    let map = nearfield::bench::cases::mixture(700, 2, 3);
    for adapter in chosen() {
        for profile in [false, true] {
            let gpu = Gpu::open(&adapter, Options { profile, ..Options::default() }).expect("it opens");
            let plain = exact_gpu(&gpu, map.view()).expect("no fault");
            let (timed, kernels) = gpu.profiled(|| exact_gpu(&gpu, map.view())).expect("no fault");
            assert_eq!(plain, timed, "the same bytes with each dispatch in a pass of its own");
            assert_eq!(!kernels.is_empty(), gpu.has_timestamps());
            assert!(!gpu.has_timestamps() || profile, "a normal job asks for no timestamps");
            for kernel in &kernels {
                assert!(kernel.calls > 0 && kernel.seconds >= 0.0 && kernel.name.contains(".wgsl:"), "{kernel:?}");
            }
            assert_eq!(exact_gpu(&gpu, map.view()).expect("no fault"), plain, "and when the profile is over");
        }
    }
}

#[test]
fn the_schema_holds() {
    let backends = backends();
    let report = measure(&request(&[200], vec![Stage::Field, Stage::Iteration]), &backends);
    let value = json(&report);
    let top = [
        "schema",
        "schema_version",
        "version",
        "commit",
        "machine",
        "options",
        "backends",
        "cases",
        "growth",
        "crossover",
        "left_out",
        "failed",
        "seconds",
        "finished",
    ];
    assert_eq!(keys(&value), top);
    assert_eq!((&value["schema"], &value["schema_version"]), (&SCHEMA.into(), &SCHEMA_VERSION.into()));
    assert_eq!(keys(&value["machine"]), ["processor", "cores", "memory", "system"]);
    let options = ["input", "n", "methods", "backends", "stages", "repeat", "seed", "max_time"];
    assert_eq!(keys(&value["options"]), options);
    let backend =
        ["backend", "name", "threads", "adapter", "opened", "pipelines", "pipeline_seconds", "warm_up", "ceiling"];
    for (number, one) in backends.iter().enumerate() {
        let out = &value["backends"][number];
        assert_eq!(keys(out), backend);
        assert_eq!(out["adapter"].is_null(), one.device().is_none());
        if one.device().is_some() {
            assert_eq!(keys(&out["adapter"]), ["name", "interface", "driver", "device_type", "limits", "features"]);
            assert!(keys(&out["adapter"]["limits"]).len() > 3 && out["pipelines"].as_u64() > Some(0));
        }
        assert!(out["ceiling"]["operations_per_second"].as_f64() > Some(1e6));
        assert_eq!(out["ceiling"]["copy"].as_array().map(Vec::len), Some(3));
    }
    let case = &value["cases"][0];
    assert_eq!(keys(case), ["data", "n", "columns", "method", "neighbors", "edges", "measurements", "memory"]);
    let entry = &case["measurements"][0];
    assert_eq!(keys(entry), ["backend", "stage", "seconds", "missing", "checks", "model", "rates", "kernels"]);
    assert_eq!(keys(&entry["seconds"]), ["median", "min", "max", "repeats", "batch", "spread", "settled"]);
    assert_eq!(keys(&entry["checks"][0]), ["what", "value", "bound"]);
    assert_eq!(keys(&entry["model"]), ["bytes", "operations", "held"]);
    assert_eq!(keys(&entry["rates"]), ["bytes_per_second", "operations_per_second", "of_limit", "limit"]);

    let mut csv = Vec::new();
    report.csv(&mut csv).expect("written");
    let rows = String::from_utf8(csv).expect("text");
    assert_eq!(rows.lines().count(), 1 + 2 * backends.len());
    assert!(rows.starts_with("data,n,columns,method,backend,stage,median,min,max,repeats,"), "{rows}");

    let mut html = Vec::new();
    page::write(&report, &mut html).expect("written");
    let html = String::from_utf8(html).expect("text");
    assert!(!html.contains("{{") && !html.contains("src=") && !html.contains("href="), "the page needs nothing else");
    let (_, data) = html.split_once("id=\"report\">").expect("the data");
    let (data, _) = data.split_once("</script>").expect("its end");
    assert_eq!(serde_json::from_str::<Value>(data).expect("JSON"), value);

    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("chart.png");
    picture::write(&path, &report).expect("written");
    assert!(fs::read(&path).expect("it is there").starts_with(b"\x89PNG"));
}

/// Spoils one stage on one thread: the stage is a static, as the seam takes no closure.
static SPOILT: AtomicUsize = AtomicUsize::new(usize::MAX);

fn spoil_one(backend: &str, stage: Stage, values: &mut [f32]) {
    if backend == "cpu:1" && STAGES[SPOILT.load(Ordering::Relaxed)].0 == stage {
        values.iter_mut().for_each(|x| *x *= 1.5);
    }
}

#[test]
fn a_wrong_answer_of_any_stage_has_no_time() {
    let backends = [Backend::cpu(None), Backend::cpu(Some(1))].map(|backend| backend.expect("threads"));
    for (number, (stage, name, _)) in STAGES.into_iter().enumerate() {
        SPOILT.store(number, Ordering::Relaxed);
        let report =
            measure(&Request { spoil: Some(spoil_one), repeat: Some(1), ..request(&[200], vec![stage]) }, &backends);
        let entry = |label| report.cases[0].of(label, stage).expect("it was tried");
        assert!(entry("cpu").seconds.is_some(), "{name} is right where it was not spoilt");
        assert!(entry("cpu:1").seconds.is_none(), "{name}: {:?} was believed", entry("cpu:1").checks);
        let error = report.verdict().expect_err("an answer is wrong");
        assert_eq!(error.exit_code(), 1);
        assert!(error.to_string().contains(name) && error.to_string().contains("cpu:1: wrong"), "{error}");
    }
}

/// What follows the stage's name in the table.
fn row<'a>(text: &'a str, stage: &str) -> &'a str {
    text.lines().find(|line| line.starts_with(stage)).unwrap_or_else(|| panic!("no {stage} in {text}"))
}

fn nan(backend: &str, stage: Stage, values: &mut [f32]) {
    if backend == "cpu:1" && stage == Stage::Field {
        values[0] = f32::NAN;
    }
}

fn nothing(_: &str, _: Stage, _: &mut [f32]) {}

#[test]
fn the_command_prints_no_time_for_a_wrong_answer_and_exits_1() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let arguments = ["--n", "200", "--backends", "cpu,cpu:1", "--stages", "field,attraction", "--repeat", "1"];
    let with = |spoil: Spoil| {
        let mut out = Vec::new();
        let code = bench_spoilt(&arguments, &mut out, spoil);
        (code, String::from_utf8(out).expect("text"))
    };
    let times = |row: &str| row.matches(" µs").count() + row.matches(" ms").count() + row.matches(" s ").count();
    let (code, text) = with(nothing);
    assert_eq!((code, times(row(&text, "field"))), (0, 2), "{text}");
    let (code, text) = with(nan);
    assert_eq!(code, 1, "{text}");
    assert_eq!(times(row(&text, "field")), 1, "{text}");
    assert!(row(&text, "field").contains("wrong"), "{text}");
    assert_eq!(times(row(&text, "attraction")), 2, "what is right keeps its time: {text}");
}

#[test]
fn every_method_has_right_answers() {
    let backends = backends();
    let stages = vec![Stage::Field, Stage::Attraction, Stage::Step, Stage::Loss, Stage::Iteration];
    let all: Vec<&Method> = methods().collect();
    let count = all.len();
    let report = measure(&Request { methods: all, repeat: Some(1), ..request(&[250], stages) }, &backends);
    report.verdict().expect("every answer is right");
    assert_eq!(report.cases.len(), count);
    for case in &report.cases {
        assert!(case.of("cpu", Stage::Field).is_some_and(|entry| entry.seconds.is_some()), "{}", case.title());
    }
}

#[test]
fn what_was_measured_before_the_end_was_asked_for_is_kept() {
    let asked = AtomicUsize::new(0);
    let backends = [Backend::cpu(None).expect("threads")];
    let stop = || asked.fetch_add(1, Ordering::Relaxed) > 12;
    let report = measure_until(&request(&[200, 400, 800], vec![Stage::Field, Stage::Step]), &backends, &stop);
    assert!(!report.finished);
    assert!(
        report.cases.len() < 3 && report.cases.iter().flat_map(|case| &case.measurements).any(|m| m.seconds.is_some())
    );
    assert!(table::text(&report, None).contains("interrupted"));
}

#[test]
fn an_earlier_report_is_compared_by_ratios() {
    let backends = [Backend::cpu(None).expect("threads")];
    let report = measure(&request(&[200], vec![Stage::Field, Stage::Step]), &backends);
    let mut value = json(&report);
    for what in ["median", "min", "max"] {
        let seconds = &mut value["cases"][0]["measurements"][0]["seconds"][what];
        *seconds = (0.01 * seconds.as_f64().expect("a number")).into();
    }
    let old = Old::parse("old.json", &value.to_string()).expect("a report");
    let compared = report.against(&old);
    assert_eq!(compared.len(), 2);
    assert!(compared[0].outside && (compared[0].ratio - 100.0).abs() < 1e-6, "{compared:?}");
    assert!(!compared[1].outside && (compared[1].ratio - 1.0).abs() < 1e-6, "{compared:?}");
    let text = table::text(&report, Some((&old, &compared)));
    assert!(text.contains("slower: outside the runs of both") && text.contains("1 of 2 lie outside"), "{text}");
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn nearfield(folder: &Path, arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nearfield"));
    let scratch = folder.join("scratch");
    fs::create_dir_all(&scratch).expect("a folder");
    let ran = command.args(arguments).current_dir(folder).env("TMPDIR", scratch).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Ran { code: ran.status.code(), stdout: text(ran.stdout), stderr: text(ran.stderr) }
}

#[test]
fn wrong_requests_are_refused_in_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
    write("small.csv", "a,b\n1,2\n3,4\n5,6\n7,9\n");
    write("foreign.json", "{\"schema\": \"something else\"}");
    write("newer.json", "{\"schema\": \"nearfield bench\", \"schema_version\": 99}");
    write("broken.json", "{\"schema\": \"nearfield bench\", \"schema_version\": 1}");
    write("text.json", "no JSON");
    let refused: &[(&[&str], &str)] = &[
        (&["--stages", "fields"], "--stages"),
        (&["--methods", "umap"], "--methods"),
        (&["--backends", "cpu:0"], "--backends"),
        (&["--backends", "gpu:99"], "--backends gpu:99"),
        (&["--backends", "auto"], "--backends"),
        (&["--backends", "cpu,cpu"], "named twice"),
        (&["--n", "3"], "--n"),
        (&["--n", "many"], "--n"),
        (&["--n", "1.5"], "--n"),
        (&["--repeat", "0"], "--repeat"),
        (&["--max-time", "0"], "--max-time"),
        (&["missing.npy"], "missing.npy"),
        (&["small.csv", "--n", "100"], "--n 100: small.csv has 4 rows"),
        (&["--methods", "nerv", "--n", "100k", "--backends", "cpu"], "20000 points"),
        (&["-o", "out.txt"], "not written as .txt"),
        (&["-o", "out"], "no extension"),
        (&["-o", "nowhere/out.json"], "does not exist"),
        (&["-o", "a.json", "-o", "a.json"], "named twice"),
        (&["--against", "nothing.json"], "cannot be read"),
        (&["--against", "foreign.json"], "not a report"),
        (&["--against", "newer.json"], "version 99"),
        (&["--against", "broken.json"], "keys"),
        (&["--against", "text.json"], "not JSON"),
        (&["--against", "foreign.json", "-o", "foreign.json"], "read by this command"),
        (&["--speed"], "--speed"),
    ];
    for (arguments, said) in refused {
        let ran = nearfield(folder.path(), &[&["bench"], *arguments].concat());
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stdout.is_empty(), "{arguments:?}: {}", ran.stdout);
        assert_eq!(ran.stderr.lines().count(), 1, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("nearfield: ") && ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
    assert!(!folder.path().join("out.json").exists());
}

#[test]
fn the_command_writes_what_is_asked_for() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    let rows: String = (0..120).map(|i| format!("{},{},{}\n", i % 7, (i * i) % 11 + 20 * (i % 2), i)).collect();
    fs::write(folder.path().join("points.csv"), format!("a,b,</script>\n{rows}")).expect("written");
    let arguments = [
        "bench",
        "points.csv",
        "--n",
        "60,120",
        "--backends",
        "cpu",
        "--methods",
        "tsne,sammon",
        "--stages",
        "knn,field,whole",
        "--repeat",
        "2",
        "-o",
        "a.json",
        "-o",
        "a.csv",
        "-o",
        "a.html",
        "-o",
        "a.png",
    ];
    let ran = nearfield(folder.path(), &arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains("points.csv, 120 × 3, sammon"), "{}", ran.stdout);
    for name in ["a.json", "a.csv", "a.html", "a.png"] {
        assert!(fs::metadata(folder.path().join(name)).is_ok_and(|file| file.len() > 500), "{name}");
    }
    let again = nearfield(folder.path(), &[&arguments[..12], &["--against", "a.json"]].concat());
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(
        again.stdout.contains("new time / old time") && again.stdout.contains("of 10 lie outside"),
        "{}",
        again.stdout
    );
    let left: Vec<_> = fs::read_dir(folder.path().join("scratch")).expect("readable").collect();
    assert!(left.is_empty(), "temporary files stay: {left:?}");
}
