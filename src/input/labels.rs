//! Labels: one text a row, from a column or a file, made into classes or numbers.

use super::source::Source;
use super::{READERS, Sniff, counted, idx, npy, quoted, reader_of, table};
use crate::data::Labels;
use crate::error::{Error, Result};
use std::collections::HashMap;

/// Whole numbers of more distinct values than this are a quantity rather than classes: about as many colours as a
/// reader of a legend can be asked to look up.
const MOST_NUMBERED_CLASSES: usize = 40;

/// Reads one text for each of the `n` rows of `input` from a file of their own: `.txt` with one a line, `.npy`, `.csv`, `.tsv`
/// or idx.
pub(super) fn from_file(source: &mut Source, n: usize, input: &str) -> Result<Vec<String>> {
    let is_binary = READERS.iter().any(|reader| (reader.sniff)(&source.head) == Sniff::Certain);
    let texts = match reader_of(source)?.name {
        "npy" => npy::read_labels(source)?,
        "idx" => idx::read_labels(source)?,
        _ if !is_binary && source.extension() == "txt" => lines(source)?,
        "table" => table::read_labels(source, n)?,
        kind => {
            let remedy = "give a column of the input, or a .txt, .csv, .npy or idx file";
            return Err(Error::request(&source.name, format!("labels are not read from {kind}"), remedy));
        }
    };
    if texts.len() != n {
        let cause =
            format!("holds {} for the {} of {input}", counted(texts.len() as u64, "label"), counted(n as u64, "row"));
        return Err(Error::request(&source.name, cause, "give one label for each row"));
    }
    Ok(texts)
}

/// The lines of a text file, each one label, whatever it holds. Blank lines at the end do not count.
fn lines(source: &mut Source) -> Result<Vec<String>> {
    let bytes = source.read_all()?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&b| b == b'\n').count();
        Error::request(&source.name, format!("line {line} is not UTF-8"), "save the file as UTF-8")
    })?;
    let labels: Vec<String> = text.trim_end().lines().map(|line| line.trim().to_string()).collect();
    match labels.iter().position(String::is_empty) {
        Some(line) => {
            let cause = format!("line {} is empty", line + 1);
            Err(Error::request(&source.name, cause, "give every row a label"))
        }
        None => Ok(labels),
    }
}

/// Classes or numbers.
///
/// If every text is a number they are a quantity where any is not whole or where there are more than
/// [`MOST_NUMBERED_CLASSES`] distinct ones, else classes in order of number. Other texts are classes in order of
/// text. Errors if numbers are mixed with NaN or infinity.
pub(super) fn from_texts(name: &str, texts: Vec<String>) -> Result<Labels> {
    let numbers: Option<Vec<f64>> = texts.iter().map(|text| text.parse::<f64>().ok()).collect();
    // Words that happen to read as numbers, such as inf and nan, are words if no number is among them.
    let numbers = numbers.filter(|numbers| numbers.iter().any(|value| value.is_finite()));
    let texts = match numbers {
        Some(numbers) => {
            if let Some(row) = numbers.iter().position(|value| !value.is_finite()) {
                let cause = format!("the label of row {row} is {}, among numbers", quoted(&texts[row]));
                return Err(Error::request(name, cause, "give every row a finite label"));
            }
            let whole = numbers.iter().all(|value| value.fract() == 0.0);
            // Adding 0 makes −0 into 0, which would count as another class.
            let mut distinct: Vec<f64> = numbers.iter().map(|value| value + 0.0).collect();
            distinct.sort_unstable_by(f64::total_cmp);
            distinct.dedup();
            if !whole || distinct.len() > MOST_NUMBERED_CLASSES {
                return Ok(Labels::Numbers(numbers));
            }
            let names = distinct.iter().map(f64::to_string).collect();
            let of = numbers.iter().map(|value| distinct.partition_point(|other| other < value) as u32).collect();
            return Ok(Labels::Classes { names, of });
        }
        None => texts,
    };
    Ok(classes(texts))
}

/// Classes in order of text.
fn classes(texts: Vec<String>) -> Labels {
    let mut names = texts.clone();
    names.sort_unstable();
    names.dedup();
    let index: HashMap<&str, u32> = names.iter().enumerate().map(|(i, name)| (name.as_str(), i as u32)).collect();
    let of = texts.iter().map(|text| index[text.as_str()]).collect();
    Labels::Classes { names, of }
}

/// Classes or numbers, told apart as by [`from_texts`], of a column that goes along; with how many numbers are missing from it (empty,
/// NaN or infinite among finite ones), which makes classes of all texts: what is missing has no place in a range.
pub(super) fn from_column(texts: Vec<String>) -> (Labels, usize) {
    let number = |text: &String| text.parse::<f64>().ok();
    let is_missing = |text: &String| text.is_empty() || number(text).is_some_and(|value| !value.is_finite());
    let missing = texts.iter().filter(|text| is_missing(text)).count();
    let finite = texts.iter().filter(|text| number(text).is_some_and(f64::is_finite)).count();
    match missing > 0 && finite > 0 && missing + finite == texts.len() {
        true => (classes(texts), missing),
        false => (from_texts("", texts).expect("numbers, if they are any, are all finite"), 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(texts: &[&str]) -> Labels {
        from_texts("labels", texts.iter().map(|text| text.to_string()).collect()).unwrap()
    }

    fn classes(names: &[&str], of: &[u32]) -> Labels {
        Labels::Classes { names: names.iter().map(|name| name.to_string()).collect(), of: of.to_vec() }
    }

    #[test]
    fn whole_numbers_are_classes_in_order_of_number() {
        assert_eq!(labels(&["10", "9.0", "-1", "9", "-0", "0"]), classes(&["-1", "0", "9", "10"], &[3, 2, 0, 2, 1, 1]));
    }

    #[test]
    fn fractions_and_many_numbers_are_a_quantity() {
        assert_eq!(labels(&["1", "2.5"]), Labels::Numbers(vec![1.0, 2.5]));
        let count = |n: usize| {
            labels(&(0..n).map(|i| i.to_string()).collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>())
        };
        assert!(matches!(count(40), Labels::Classes { names, .. } if names.len() == 40));
        assert!(matches!(count(41), Labels::Numbers(values) if values.len() == 41));
    }

    #[test]
    fn text_is_classes_in_order_of_text() {
        assert_eq!(labels(&["b", "a", "10", "9", "b"]), classes(&["10", "9", "a", "b"], &[3, 2, 0, 1, 3]));
        assert_eq!(labels(&["inf", "nan"]), classes(&["inf", "nan"], &[0, 1]));
    }

    #[test]
    fn nan_among_numbers_is_refused() {
        let error = from_texts("l.txt", vec!["1".into(), "nan".into()]).unwrap_err();
        assert!(error.to_string().starts_with("l.txt: the label of row 1 is \"nan\""), "{error}");
    }
}
