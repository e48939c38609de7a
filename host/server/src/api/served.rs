//! The files of the web UI as they are served: their scripts as one, without what only their readers need.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Where the page begins, and what all of its scripts are served as.
pub(super) const MAIN: &str = "app/main.js";
const OURS: &str = "./";
const VENDORED: &str = "../vendor/preact.js";

/// Joins the script where the page begins with all that it imports: each once, and behind what it imports itself. They
/// share one scope then, which is why no two of them give something the same name.
pub(super) fn joined(read: &impl Fn(&str) -> Option<String>) -> String {
    let mut all = Joined::default();
    all.add(read, MAIN.trim_start_matches("app/"));
    let names: Vec<_> = all.vendored.into_iter().collect();
    format!("import {{ {} }} from \"{VENDORED}\";\n{}", names.join(", "), all.text)
}

#[derive(Default)]
struct Joined {
    seen: BTreeSet<String>,
    vendored: BTreeSet<String>,
    text: String,
}

impl Joined {
    fn add(&mut self, read: &impl Fn(&str) -> Option<String>, name: &str) {
        if !self.seen.insert(name.to_owned()) {
            return;
        }
        for line in lean(&read(&format!("app/{name}")).unwrap_or_default()).lines() {
            match import(line) {
                Some((names, VENDORED)) => self.vendored.extend(names.split(',').map(|it| it.trim().to_owned())),
                Some((_, from)) => self.add(read, from.trim_start_matches(OURS)),
                // A text takes what it is given.
                None => _ = writeln!(self.text, "{}", line.strip_prefix("export ").unwrap_or(line)),
            }
        }
    }
}

/// Reads `import { names } from "file";`, the one form that our files have.
fn import(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("import {")?.strip_suffix("\";")?.split_once("} from \"")
}

/// Leaves out comments and indentation: types stand in comments, and are a sixth of what would be sent.
pub(super) fn lean(text: &str) -> String {
    let mut without = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (_, after))) =
        rest.split_once("/**").and_then(|(it, more)| Some((it, more.split_once("*/")?)))
    {
        without.push_str(before);
        rest = after.strip_prefix(' ').unwrap_or(after);
    }
    without.push_str(rest);
    let lines = without.lines().map(str::trim_start).filter(|it| !it.is_empty() && !it.starts_with("//"));
    lines.flat_map(|it| [it, "\n"]).collect()
}

/// Leaves out of a style sheet what makes no difference to a browser.
pub(super) fn lean_style(text: &str) -> String {
    let mut lean = String::with_capacity(text.len());
    for line in text.lines().map(str::trim).filter(|it| !it.starts_with("/*")) {
        lean.push_str(line);
        lean.push('\n');
    }
    for (long, short) in [(" { ", "{"), (" {\n", "{"), (" }", "}"), ("; ", ";"), (";}", "}"), (": ", ":"), ("}\n", "}")]
    {
        lean = lean.replace(long, short);
    }
    lean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_become_one() {
        let files = |name: &str| {
            let text = match name {
                "app/main.js" => {
                    "// @ts-check\nimport { html, render } from \"../vendor/preact.js\";\nimport { b } from \"./b.js\";\nimport { a } from \"./a.js\";\n\nrender(html`${a}${b}`);\n"
                }
                "app/a.js" => {
                    "// A.\n/** What it is. */\nexport const a = /** @type {string} */ (\"/* no comment */\");\n"
                }
                "app/b.js" => {
                    "import { a } from \"./a.js\";\nimport { html, useState } from \"../vendor/preact.js\";\nexport function b() {\n  // Why.\n  return a;\n}\n"
                }
                _ => return None,
            };
            Some(text.to_owned())
        };
        assert_eq!(
            joined(&files),
            "import { html, render, useState } from \"../vendor/preact.js\";\nconst a = (\"/* no comment */\");\nfunction b() {\nreturn a;\n}\nrender(html`${a}${b}`);\n"
        );
    }

    #[test]
    fn a_style_sheet_keeps_what_it_says() {
        let text = "/* Around the page */\n.a:hover { color: red; margin: 0 1px; }\n@media (max-width: 9px) {\n  .a > b:not(.c, .d) { font: 1px/1.5 var(--x); }\n}\n";
        assert_eq!(
            lean_style(text),
            ".a:hover{color:red;margin:0 1px}@media (max-width:9px){.a > b:not(.c, .d){font:1px/1.5 var(--x)}}"
        );
    }
}
