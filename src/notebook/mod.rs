//! What a Rust notebook (evcxr) needs: rich display of figures, tables and runs, and errors that fail a cell.
//!
//! A value that ends a cell is shown by its `evcxr_display(&self)`: a block of text on standard output between two marker
//! lines that name the MIME type; binary types are in base64. One block per type and cell survives, so each type here
//! prints at most one rich form and one plain form.
//!
//! In evcxr an error that leaves a cell through `?` is printed and its cell counts as good; one that unwinds fails the cell where
//! the kernel is strict, as the checker of notebooks makes it, and costs no variable where it is not (`notebooks/evcxr.toml`).
//! Hence [`OrFail::or_fail`].

use std::fmt::{Display, Write as _};

use crate::error::Error;
use crate::eval::{Findings, Table};
use crate::plot::{Chart, Figure, Vega};

pub use crate::prelude;

/// The line that the last cell of every notebook prints; a checker that finds it knows that all cells ran.
pub const SENTINEL: &str = "lacuna: notebook complete";

/// Prints [`SENTINEL`].
pub fn done() {
    println!("{SENTINEL}");
}

/// Turns an error into a failed cell, with the whole message.
pub trait OrFail<T> {
    /// The value; an error is printed with everything that caused it, and unwinds.
    ///
    /// # Panics
    /// On an error: that is the purpose.
    fn or_fail(self) -> T;
}

// For this error, and not for every `E: std::error::Error`: the kernel's analyser, which finds the types of variables, does not
// expand the macro that derives that bound.
impl<T> OrFail<T> for Result<T, Error> {
    fn or_fail(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => {
                let message = chain(&error);
                eprintln!("{message}");
                // The message alone: a panic would add its place and a backtrace.
                std::panic::resume_unwind(Box::new(message))
            }
        }
    }
}

/// An error and its causes on one line each, without repeating what a message already includes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let message = inner.to_string();
        if !text.contains(&message) {
            let _ = write!(text, "\n  because {message}");
        }
        cause = inner.source();
    }
    text
}

/// One display block in evcxr's protocol.
pub fn block(mime: &str, content: &str) -> String {
    format!("EVCXR_BEGIN_CONTENT {mime}\n{content}\nEVCXR_END_CONTENT\n")
}

/// HTML of a two-column list of facts under a heading, and the same as text.
pub fn facts(heading: &str, rows: &[(&str, String)]) -> (String, String) {
    let mut html = format!("<b>{}</b><table style=\"border-collapse:collapse\">", escape(heading));
    let mut text = format!("{heading}\n");
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in rows {
        let _ = write!(
            html,
            "<tr><td style=\"text-align:left;padding:1px 12px 1px 0\">{}</td><td style=\"text-align:left\">{}</td></tr>",
            escape(name),
            escape(value)
        );
        let _ = writeln!(text, "  {name:width$}  {value}");
    }
    html.push_str("</table>");
    (html, text)
}

/// Prints both forms of [`facts`].
pub fn show_facts(heading: &str, rows: &[(&str, String)]) {
    let (html, text) = facts(heading, rows);
    print!("{}{}", block("text/html", &html), block("text/plain", text.trim_end()));
}

impl Figure {
    /// The figure as a notebook shows it: SVG where there is one, PNG otherwise.
    pub fn evcxr_display(&self) {
        print!("{}", self.blocks());
    }

    fn blocks(&self) -> String {
        let rich = match (self.described(), &self.png) {
            (Some(svg), _) => block("image/svg+xml", svg.trim_end()),
            (None, Some(png)) => block("image/png", &base64(png)),
            (None, None) => String::new(),
        };
        // For readers without pictures, and the alternative text of pages that are made of notebooks.
        let said = if self.caption.is_empty() { format!("figure {}", self.name) } else { self.caption.clone() };
        rich + &block("text/plain", &said)
    }
}

impl Chart {
    /// The chart, drawn; what is wrong with it, if it cannot be.
    pub fn evcxr_display(&self) {
        match self.draw() {
            Ok(figure) => figure.evcxr_display(),
            Err(error) => println!("{}", chain(&error)),
        }
    }
}

impl Vega {
    /// The curves as JupyterLab draws them; elsewhere a word.
    pub fn evcxr_display(&self) {
        print!("{}{}", block(Self::MIME, self.json()), block("text/plain", "Vega-Lite, which JupyterLab shows"));
    }
}

impl Table {
    /// The table as a notebook shows it: HTML, and fixed-width text where HTML is not shown.
    pub fn evcxr_display(&self) {
        print!("{}{}", block("text/html", &self.to_html()), block("text/plain", &self.to_string()));
    }
}

impl Findings {
    /// The sentences as a notebook shows them.
    pub fn evcxr_display(&self) {
        let items: String = self.0.iter().map(|finding| format!("<li>{}</li>", escape(&finding.sentence))).collect();
        print!("{}{}", block("text/html", &format!("<ul>{items}</ul>")), block("text/plain", &self.to_string()));
    }
}

/// Replaces what HTML would take for markup.
pub fn escape(text: impl Display) -> String {
    text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, &byte| word << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            // A chunk of k bytes fills k + 1 digits.
            out.push(if place <= chunk.len() { DIGITS[(word >> (18 - 6 * place)) as usize & 63] as char } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_of_the_standard() {
        // RFC 4648, section 10.
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn blocks_follow_the_protocol() {
        let figure = Figure { name: "f".into(), png: Some(b"foo".to_vec()), ..Figure::default() };
        let text = figure.blocks();
        assert!(text.starts_with("EVCXR_BEGIN_CONTENT image/png\nZm9v\nEVCXR_END_CONTENT\n"), "{text}");
        assert!(text.ends_with("text/plain\nfigure f\nEVCXR_END_CONTENT\n"), "{text}");
        assert!(figure.captioned("two <words>").blocks().contains("text/plain\ntwo <words>\n"));
        let chart = Chart::new("c", "x", "y").curve("a", vec![0.0, 1.0], vec![0.0, 1.0]).captioned("1 < 2");
        let svg = chart.draw().unwrap().blocks();
        assert!(svg.contains("<svg role=\"img\" aria-label=\"1 &lt; 2\" "), "{svg}");
        assert!(svg.contains("<title>c</title>\n<desc>1 &lt; 2</desc>"), "{svg}");
        assert!(facts("<h>", &[("a", "1 < 2".into())]).0.contains("1 &lt; 2"));
    }

    #[test]
    #[should_panic(expected = "config `flow.n`: odd")]
    fn an_error_fails_with_its_message() {
        Err::<(), _>(crate::error::Error::config("flow.n", "odd")).or_fail();
    }
}
