//! A report as a page that opens from disk: its data, the chart library (uPlot, see `assets/bench/`) and the text of the page in one file.

use super::report::Report;
use std::io::{self, Write};

const PAGE: &str = include_str!("../../assets/bench/page.html");
const CHARTS: &str = include_str!("../../assets/bench/uPlot.iife.min.js");
const STYLE: &str = include_str!("../../assets/bench/uPlot.min.css");

/// Writes it.
///
/// # Errors
/// What the writer reports.
pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let mut json = Vec::new();
    report.json(&mut json)?;
    let json = embeddable(&String::from_utf8_lossy(&json));
    let mut rest = PAGE;
    for (place, text) in [("{{UPLOT_CSS}}", STYLE), ("{{REPORT}}", &json), ("{{UPLOT_JS}}", CHARTS)] {
        let (before, after) =
            rest.split_once(place).ok_or_else(|| io::Error::other(format!("the page has no {place}")))?;
        out.write_all(before.as_bytes())?;
        out.write_all(text.as_bytes())?;
        rest = after;
    }
    out.write_all(rest.as_bytes())
}

/// JSON that stays within its element of a page, whatever names are in it: no `</script>` and no `<!--`.
fn embeddable(json: &str) -> String {
    json.replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_cannot_end_their_element() {
        let name = "</script><script>alert(1)</script><!--";
        let json = serde_json::to_string(name).expect("a string");
        let safe = embeddable(&json);
        assert!(!safe.contains('<'), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).expect("still JSON"), name);
    }
}
