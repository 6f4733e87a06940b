//! Tables of numbers as text: `.csv`, `.tsv` and whatever else separates fields by commas, tabs or semicolons.
//!
//! Lines are counted from 1 as an editor shows them: blank lines count, and so do the lines inside a quoted field.
//! The `csv` crate counts a record's line from before the blank lines that it skips, so a line is counted here from
//! the bytes before it, and only once there is something to complain about.

use super::pick::{Found, axes, chosen, drawn, find, known, shown};
use super::settle::{InMemory, Treatment, settle};
use super::source::{Source, fill};
use super::{Header, MAP_COLUMNS, Missing, Parsed, Request, Sniff, check_shape, counted, distinct, quoted, treatment};
use crate::data::Points;
use crate::error::{Error, Result, size};
use csv::ByteRecord;
use ndarray::Array2;
use std::path::Path;

/// Text, as far as these bytes show.
pub(super) fn sniff(head: &[u8]) -> Sniff {
    let text = match std::str::from_utf8(head) {
        Ok(_) => true,
        // The last character may be cut.
        Err(error) => error.error_len().is_none(),
    };
    if text && !head.contains(&0) { Sniff::Possible } else { Sniff::Excluded }
}

/// Reads points, with labels and names if `--labels` and `--id` name columns.
pub(super) fn read(mut source: Source, request: &Request) -> Result<Parsed> {
    source.check_no_part()?;
    let name = source.name.clone();
    let missing = request.missing != Missing::Refuse;
    let mut table = scan(&mut source, request.header, missing, |columns| {
        if request.map {
            return map_roles(columns, request, &name);
        }
        let column = |option: &str, asked: Option<&str>| match asked {
            Some(asked) => text_column(columns, option, asked, &name),
            None => Ok(None),
        };
        let (label, id) = (column("--labels", request.labels)?, column("--id", request.id)?);
        let values = match request.columns {
            [] => None,
            asked => Some(chosen("--columns", asked, columns.header.as_deref(), columns.count, 1, &name)?),
        };
        let carried = match request.carry {
            [] => Vec::new(),
            asked => chosen("--carry", asked, columns.header.as_deref(), columns.count, 1, &name)?,
        };
        let is_chosen = |c: usize| values.as_ref().is_none_or(|values| values.binary_search(&c).is_ok());
        Ok((0..columns.count)
            .map(|c| {
                let text =
                    Role { label: Some(c) == label, id: Some(c) == id, carried: carried.contains(&c), value: false };
                Role { value: text == Role::default() && is_chosen(c), ..text }
            })
            .collect())
    })?;
    let names: Vec<String> = table.named(|role| role.value);
    check_shape(request, &name, table.rows as u64, names.len() as u64)?;
    let carried = table.carried_names();
    let (of, m) = (table.rows, names.len());
    let rows = request.subsample.map(|count| drawn(&name, of, count, request.seed)).transpose()?;
    if let Some(rows) = &rows {
        check_shape(request, &name, rows.len() as u64, m as u64)?;
        let texts = [&mut table.labels, &mut table.ids].into_iter().chain(&mut table.carried);
        for texts in texts.filter(|texts| !texts.is_empty()) {
            *texts = rows.iter().map(|&row| std::mem::take(&mut texts[row as usize])).collect();
        }
        table.values = rows.iter().flat_map(|&row| &table.values[row as usize * m..][..m]).copied().collect();
    }
    let place = |index: usize| {
        let row = rows.as_ref().map_or(index / m, |rows| rows[index / m] as usize);
        format!("row {row}, {}", names[index % m])
    };
    let mut cells = InMemory { values: &table.values, columns: m, column: |c: usize| names[c].clone(), place };
    let settled = settle(&mut cells, &name, treatment(request))?;
    let points = Array2::from_shape_vec((settled.points.len() / m, m), settled.points).expect("rows × columns");
    let mut parsed = Parsed::new(Points::Dense(points), of, None, settled.notes);
    parsed.labels = table.roles.iter().any(|role| role.label).then_some(table.labels);
    parsed.ids = table.roles.iter().any(|role| role.id).then_some(table.ids);
    parsed.carried = carried.into_iter().zip(table.carried).collect();
    let header = table.columns.header.as_deref().unwrap_or_default();
    let roles = table.roles.iter();
    let read = header.iter().zip(roles).filter(|(_, role)| role.value).map(|(name, _)| name.clone()).collect();
    parsed.names = distinct(read, m);
    parsed.treatment = settled.treatment;
    parsed.columns = names;
    parsed.rows = rows;
    Ok(parsed)
}

/// What the columns of a saved map are.
fn map_roles(columns: &Columns, request: &Request, name: &str) -> Result<Vec<Role>> {
    let header = columns.header.as_deref();
    let axes = axes(request, name, header, &columns.numeric)?;
    let own = |option: &str, asked: Option<&str>, usual: &str| match asked {
        Some(asked) => text_column(columns, option, asked, name),
        None => Ok(header.and_then(|names| names.iter().position(|name| name == usual))),
    };
    let (label, id) = (own("--labels", request.labels, "label")?, own("--id", request.id, "id")?);
    let role = |c: usize| {
        let role = Role { value: axes.contains(&c), label: label == Some(c), id: id == Some(c), carried: false };
        let is_usual = header.is_some_and(|names| MAP_COLUMNS.contains(&&*names[c]));
        // A column may be axis and label at once only for those who insist.
        Role { carried: role == Role::default() && !is_usual, ..role }
    };
    Ok((0..columns.count).map(role).collect())
}

/// Reads `[n, dims]` values as they stand: the columns x, y (and z) if the header names them, else all columns.
pub(super) fn read_map(source: &mut Source, dims: usize) -> Result<Array2<f32>> {
    let name = source.name.clone();
    let table = scan(source, Header::Auto, false, |columns| {
        let named = |axis: &str| columns.header.iter().flatten().filter(|name| *name == axis).count();
        let axes = ["x", "y", "z"].map(named);
        let found = match axes {
            [0, ..] | [_, 0, _] => None,
            [1, 1, 0] => Some(2),
            [1, 1, 1] => Some(3),
            _ => return Err(Error::request(&name, "its header names an axis twice", "name x, y (and z) once each")),
        };
        match found {
            Some(found) if found != dims => {
                let cause = format!("holds a map in {found} dimensions, where {dims} are needed");
                Err(Error::request(&name, cause, "give --dims to match it, or another map"))
            }
            Some(_) => {
                let role = |name: &String| match name.as_str() {
                    "x" | "y" | "z" => Role::VALUE,
                    _ => Role::default(),
                };
                Ok(columns.header.iter().flatten().map(role).collect())
            }
            None if columns.count == dims => Ok(vec![Role::VALUE; dims]),
            None => {
                let cause = format!("has {}, where a map has {dims}", counted(columns.count as u64, "column"));
                Err(Error::request(&name, cause, "name the right ones x, y (and z) in a header"))
            }
        }
    })?;
    let names = table.named(|role| role.value);
    if table.rows == 0 {
        return Err(Error::request(&name, "holds no points", ""));
    }
    let place = |index: usize| format!("row {}, {}", index / dims, names[index % dims]);
    let mut cells = InMemory { values: &table.values, columns: dims, column: |c: usize| names[c].clone(), place };
    let settled = settle(&mut cells, &name, Treatment::AsGiven)?;
    // The header may name the axes in any order.
    let in_order = ["x", "y", "z"].map(|axis| names.iter().position(|name| name == &format!("column {axis}")));
    let map = Array2::from_shape_vec((table.rows, dims), settled.points).expect("settled values are rows × columns");
    let order: Vec<usize> = in_order.into_iter().flatten().collect();
    Ok(if order.len() == dims { map.select(ndarray::Axis(1), &order) } else { map })
}

/// Reads labels for `n` rows: the only column, or the one that the header calls `label`. The first line is a header
/// if the rules say so or if it is the one line too many.
pub(super) fn read_labels(source: &mut Source, n: usize) -> Result<Vec<String>> {
    let name = source.name.clone();
    let table = scan(source, Header::Auto, false, |columns| {
        if columns.count == 1 {
            return Ok(vec![Role::LABEL]);
        }
        let names = &columns.first_line;
        let labels = names.iter().filter(|name| *name == "label").count();
        if labels != 1 {
            let cause = format!("has {} columns, and not one of them is named label", columns.count);
            return Err(Error::request(&name, cause, "leave one column, or name one of them label in a header"));
        }
        Ok(names.iter().map(|name| if name == "label" { Role::LABEL } else { Role::default() }).collect())
    })?;
    let mut labels = table.labels;
    let alone = table.roles.len() == 1;
    match table.columns.header {
        None if !alone || labels.len() == n + 1 => drop(labels.remove(0)),
        // A word before numbers was taken for a header, but the count says that it is the first label.
        Some(_) if alone && labels.len() + 1 == n => labels.insert(0, table.columns.first_line[0].clone()),
        _ => {}
    }
    Ok(labels)
}

/// What is known of a table once its first lines are read.
struct Columns {
    count: usize,
    /// The columns' names, if there is a header.
    header: Option<Vec<String>>,
    /// The fields of the first line, header or not.
    first_line: Vec<String>,
    /// Whether the first row holds a number there.
    numeric: Vec<bool>,
}

impl Columns {
    /// "column NAME", or by number from 1 where there is no header.
    fn name(&self, column: usize) -> String {
        match self.header.as_ref().and_then(|names| names.get(column)) {
            Some(name) if !name.is_empty() => format!("column {}", shown(name)),
            _ => format!("column {}", column + 1),
        }
    }
}

/// What a column is read as: one thing, several at once where that is asked for, or nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Role {
    value: bool,
    label: bool,
    id: bool,
    carried: bool,
}

impl Role {
    const VALUE: Role = Role { value: true, label: false, id: false, carried: false };
    const LABEL: Role = Role { value: false, label: true, id: false, carried: false };
}

/// A table as read.
struct Table {
    columns: Columns,
    roles: Vec<Role>,
    rows: usize,
    /// `[rows, value columns]`
    values: Vec<f64>,
    /// `[rows]` if there is a label column.
    labels: Vec<String>,
    /// `[rows]` if there is a column of names.
    ids: Vec<String>,
    /// `[rows]` for each column that is carried.
    carried: Vec<Vec<String>>,
}

impl Table {
    fn named(&self, is: impl Fn(&Role) -> bool) -> Vec<String> {
        (0..self.roles.len()).filter(|&c| is(&self.roles[c])).map(|c| self.columns.name(c)).collect()
    }

    /// The names of the columns that are carried, as they go on to the map.
    fn carried_names(&self) -> Vec<String> {
        let name = |c: usize| match &self.columns.header {
            Some(header) if !header[c].is_empty() => header[c].clone(),
            _ => format!("column {}", c + 1),
        };
        (0..self.roles.len()).filter(|&c| self.roles[c].carried).map(name).collect()
    }
}

/// The column that `asked` names, if it names one; an error if it names several, or neither column nor file.
fn text_column(columns: &Columns, option: &str, asked: &str, name: &str) -> Result<Option<usize>> {
    let missing = |cause: String, remedy: String| Err(Error::request(format!("{option} {asked}"), cause, remedy));
    let is_file = |path: &str| Path::new(path).is_file();
    let is_file = is_file(asked) || asked.rsplit_once(':').is_some_and(|(file, _)| is_file(file));
    match (find(asked, columns.header.as_deref(), columns.count, 1), &columns.header) {
        (Found::One(column), _) => Ok(Some(column)),
        (Found::Many(count), _) => {
            missing(format!("{name} has {count} columns of that name"), "rename all but one".into())
        }
        (Found::None, _) if is_file => Ok(None),
        (Found::None, Some(header)) => missing(
            format!("{name} has no such column, and there is no such file"),
            known(Some(header), columns.count, 1),
        ),
        (Found::None, None) => {
            let cause = format!("{name} has no header that could name a column so, and there is no such file");
            let remedy = format!(
                "give a column's number, 1 to {}, or --header yes if the first line names the columns",
                columns.count
            );
            missing(cause, remedy)
        }
    }
}

/// Why a table is refused, and where.
struct Fault {
    /// Bytes before the record, and line breaks in it before what is wrong; None if it is no one place.
    place: Option<(u64, u64)>,
    cause: String,
    remedy: String,
}

/// Why a scan ended early.
enum Stop {
    Fault(Fault),
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Error(error)
    }
}

/// Reads a whole table; `assign` gives each column its role once the first lines are known.
///
/// `missing` says whether fields may be empty.
fn scan(
    source: &mut Source,
    header: Header,
    missing: bool,
    mut assign: impl FnMut(&Columns) -> Result<Vec<Role>>,
) -> Result<Table> {
    let delimiter = match source.extension().as_str() {
        "csv" => b',',
        "tsv" | "tab" => b'\t',
        _ => sniff_delimiter(&source.head),
    };
    match scan_records(source, delimiter, header, missing, &mut assign) {
        Ok(table) => Ok(table),
        Err(Stop::Error(error)) => Err(error),
        Err(Stop::Fault(fault)) => {
            let place = match fault.place {
                Some((start, breaks)) => format!("line {}", line_at(source, start)? + breaks),
                None => String::new(),
            };
            Err(Error::request(&source.name, format!("{place}{}", fault.cause), fault.remedy))
        }
    }
}

/// Of comma, tab and semicolon the one that the first line holds most of.
fn sniff_delimiter(head: &[u8]) -> u8 {
    let line = head.split(|&b| b == b'\n' || b == b'\r').find(|line| !line.is_empty()).unwrap_or_default();
    let mut quoted = false;
    let mut counts = [0; 3];
    for &byte in line {
        quoted ^= byte == b'"';
        if let (false, Some(which)) = (quoted, b",\t;".iter().position(|&d| d == byte)) {
            counts[which] += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    b",\t;"[counts.iter().position(|&count| count == most).unwrap_or_default()]
}

fn scan_records(
    source: &mut Source,
    delimiter: u8,
    header: Header,
    missing: bool,
    assign: &mut impl FnMut(&Columns) -> Result<Vec<Role>>,
) -> std::result::Result<Table, Stop> {
    let (faults, limit) = (source.faults(), source.limit);
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(1 << 18)
        .from_reader(source.stream(0)?);
    let mut next = |record: &mut ByteRecord| -> Result<bool> {
        // A line of nothing but spaces is blank too.
        let failed = |error: csv::Error| match error.into_kind() {
            csv::ErrorKind::Io(error) => faults.of(error),
            other => faults.of(std::io::Error::other(format!("{other:?}"))),
        };
        while reader.read_byte_record(record).map_err(failed)? {
            if !(record.len() == 1 && record[0].trim_ascii().is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    };

    let (mut record, mut second) = (ByteRecord::new(), ByteRecord::new());
    if !next(&mut record)? {
        let cause = "holds nothing but blank lines".to_string();
        return Err(Stop::Fault(Fault { place: None, cause, remedy: String::new() }));
    }
    let has_second = next(&mut second)?;
    let first_line = (0..record.len())
        .map(|column| text(&record, column, || format!("column {}", column + 1)).map(str::to_string))
        .collect::<std::result::Result<Vec<String>, Fault>>()
        .map_err(Stop::Fault)?;
    let named = match header {
        Header::Yes => true,
        Header::No => false,
        Header::Auto => {
            let without_numbers = |record: &ByteRecord| record.iter().all(|field| number(field).is_none());
            without_numbers(&record) && !(has_second && without_numbers(&second))
        }
    };
    let first_row = if named { &second } else { &record };
    let numeric = (0..record.len()).map(|c| first_row.get(c).is_some_and(|field| number(field).is_some())).collect();
    let columns = Columns { count: record.len(), header: named.then(|| first_line.clone()), first_line, numeric };
    let roles = assign(&columns)?;
    let mut scan = Scan {
        hint_header: header == Header::Auto && !named,
        missing,
        limit,
        table: Table {
            carried: vec![Vec::new(); roles.iter().filter(|role| role.carried).count()],
            columns,
            roles,
            rows: 0,
            values: Vec::new(),
            labels: Vec::new(),
            ids: Vec::new(),
        },
    };
    if !named {
        scan.row(&record).map_err(Stop::Fault)?;
    }
    if has_second {
        scan.row(&second).map_err(Stop::Fault)?;
        while next(&mut record)? {
            scan.row(&record).map_err(Stop::Fault)?;
        }
    }
    Ok(scan.table)
}

/// A table in the making.
struct Scan {
    table: Table,
    /// Whether a header that was not recognised as one is worth mentioning.
    hint_header: bool,
    /// Whether fields may be empty.
    missing: bool,
    /// The most bytes that the values may take.
    limit: u64,
}

impl Scan {
    fn row(&mut self, record: &ByteRecord) -> std::result::Result<(), Fault> {
        let table = &mut self.table;
        let count = table.columns.count;
        if record.len() != count {
            return Err(Fault {
                place: Some((start(record), 0)),
                cause: format!(
                    " has {}, where {count} {} expected",
                    counted(record.len() as u64, "field"),
                    if count == 1 { "is" } else { "are" }
                ),
                remedy: "every line needs as many as the first; quote fields that hold the separator".into(),
            });
        }
        if 8 * (table.values.len() + count) as u64 > self.limit {
            return Err(Fault {
                place: Some((start(record), 0)),
                cause: format!(": the values up to here take {}, all that there is", size(self.limit)),
                remedy: "choose some by --columns, or give --host-memory if there is more".into(),
            });
        }
        let mut carried = table.carried.iter_mut();
        for (column, role) in table.roles.iter().enumerate() {
            if role.value {
                match number(&record[column]) {
                    Some(value) if value.is_finite() => table.values.push(value),
                    _ if self.missing && is_missing(&record[column]) => table.values.push(f64::NAN),
                    _ => return Err(self.unsound(record, column)),
                }
            }
            if !(role.label || role.id || role.carried) {
                continue;
            }
            let text = text(record, column, || table.columns.name(column))?;
            if role.label && text.is_empty() {
                return Err(Fault {
                    place: Some((start(record), breaks(record, column))),
                    cause: format!(", {} is empty", table.columns.name(column)),
                    remedy: "give every row a label".into(),
                });
            }
            let takers = [(role.label, &mut table.labels), (role.id, &mut table.ids)];
            takers.into_iter().filter(|(takes, _)| *takes).for_each(|(_, texts)| texts.push(text.to_string()));
            if role.carried {
                carried.next().expect("one for each column that is carried").push(text.to_string());
            }
        }
        table.rows += 1;
        Ok(())
    }

    /// Why a field is not a finite number.
    fn unsound(&self, record: &ByteRecord, column: usize) -> Fault {
        let columns = &self.table.columns;
        let field = match text(record, column, || columns.name(column)) {
            Ok(field) => field,
            Err(fault) => return fault,
        };
        let what = match number(field.as_bytes()) {
            _ if field.is_empty() => "is empty".to_string(),
            Some(value) if value.is_nan() => "is NaN".to_string(),
            Some(_) if field.contains(|c: char| c.is_ascii_digit()) => {
                format!("is {}, beyond any 64-bit float", quoted(field))
            }
            Some(_) => "is infinite".to_string(),
            None => format!("is {}, not a number", quoted(field)),
        };
        let first_row = columns.header.is_none() && self.table.rows == 0;
        let mixed = columns.first_line.iter().any(|field| number(field.as_bytes()).is_some());
        let remedy = if field.is_empty() || number(field.as_bytes()).is_some() {
            "remove or fill in such values, or give --missing mean or drop".to_string()
        } else if first_row && self.hint_header && mixed {
            format!(
                "--header yes if the first line names the columns, --labels {} if this one labels the rows",
                column + 1
            )
        } else if field.contains([';', '\t', ',']) {
            "name a file .csv only if commas separate its fields, .tsv only if tabs do; .txt finds out".to_string()
        } else if self.table.roles.contains(&Role::LABEL) {
            "only the label column may hold text".to_string()
        } else {
            let label = columns.header.as_ref().map_or((column + 1).to_string(), |names| shown(&names[column]));
            format!("--labels {label} if it labels the rows, else remove it")
        };
        Fault {
            place: Some((start(record), breaks(record, column))),
            cause: format!(", {} {what}", columns.name(column)),
            remedy,
        }
    }
}

/// A field's number; spaces around it do not matter.
fn number(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

/// Whether a field says that its value is missing, in the words that R, pandas and databases have for it.
fn is_missing(field: &[u8]) -> bool {
    const WORDS: [&[u8]; 9] = [b"", b"na", b"n/a", b"#n/a", b"nan", b"-nan", b"null", b"none", b"?"];
    WORDS.contains(&field.trim_ascii().to_ascii_lowercase().as_slice())
}

/// A field's text without the spaces around it.
fn text(record: &ByteRecord, column: usize, name: impl FnOnce() -> String) -> std::result::Result<&str, Fault> {
    std::str::from_utf8(&record[column]).map(str::trim).map_err(|error| Fault {
        place: Some((start(record), breaks(record, column) + line_breaks(&record[column][..error.valid_up_to()]))),
        cause: format!(", {} is not UTF-8", name()),
        remedy: "save the file as UTF-8".into(),
    })
}

/// Bytes before a record, and before the blank lines that precede it.
fn start(record: &ByteRecord) -> u64 {
    record.position().map_or(0, csv::Position::byte)
}

/// Line breaks in a record before a column.
fn breaks(record: &ByteRecord, column: usize) -> u64 {
    record.iter().take(column).map(line_breaks).sum()
}

/// The line breaks of a text: `\n`, `\r\n` or a lone `\r`.
fn line_breaks(text: &[u8]) -> u64 {
    let mut last = 0;
    let mut count = 0;
    for &byte in text {
        count += u64::from(byte == b'\r' || (byte == b'\n' && last != b'\r'));
        last = byte;
    }
    count
}

/// The line, from 1, of the first byte at or after `offset` that is not a line break.
fn line_at(source: &mut Source, offset: u64) -> Result<u64> {
    let faults = source.faults();
    let mut stream = source.stream(0)?;
    let mut buffer = vec![0; 1 << 16];
    let (mut line, mut at, mut last) = (1, 0, 0);
    loop {
        let (there, error) = fill(&mut stream, &mut buffer);
        if let Some(error) = error {
            return Err(faults.of(error));
        }
        for &byte in &buffer[..there] {
            let is_break = byte == b'\r' || byte == b'\n';
            if at >= offset && !is_break {
                return Ok(line);
            }
            line += u64::from(byte == b'\r' || (byte == b'\n' && last != b'\r'));
            (last, at) = (byte, at + 1);
        }
        if there < buffer.len() {
            return Ok(line);
        }
    }
}
