//! From what was typed to a flow's parameters.

use std::collections::BTreeMap;
use std::io::Read;

use retake_core::component::FlowInfo;
use retake_core::limits;
use retake_core::value::Json;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::args::Parameters;
use crate::out::{Exit, Trouble};

/// Reads the parameters. Types come from the flow's schema, so that `-p n=3` is a number where one is wanted.
pub(crate) fn read(typed: &Parameters, flow: &FlowInfo) -> anyhow::Result<Json> {
    read_over(typed, flow, None)
}

/// Reads the parameters as [`read`] does; `-p` changes those that there were.
pub(crate) fn read_over(typed: &Parameters, flow: &FlowInfo, had: Option<&Json>) -> anyhow::Result<Json> {
    let mut object = match (&typed.params, had) {
        (Some(source), _) => whole(source)?,
        (None, Some(had)) => serde_json::from_str(had.as_str()).unwrap_or_default(),
        (None, None) => Object::new(),
    };
    let schema = flow.parameters.to_value();
    let known: Vec<&String> = schema["properties"].as_object().map(|it| it.keys().collect()).unwrap_or_default();
    for typed in &typed.param {
        let (name, value) = one(typed, &schema)?;
        if !known.is_empty() && !known.contains(&&name) {
            return Err(unknown(&name, &known).into());
        }
        object.insert(name, value);
    }
    Json::parse(Json::of(&object).as_str(), limits::VALUE_BYTES).map_err(|error| {
        Trouble::new(Exit::Usage, format!("the parameters: {error}"))
            .hint("keep what is large elsewhere, and pass where it is")
            .into()
    })
}

/// Parameters, each as it was written: a number keeps all of its digits.
type Object = BTreeMap<String, Box<RawValue>>;

/// Reads a text from a file, from stdin or as it was typed.
pub(crate) fn text(source: &str) -> anyhow::Result<String> {
    Ok(match source.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            Trouble::new(Exit::Usage, format!("`{path}` cannot be read: {error}"))
                .hint("after `@` stands a file with JSON; `-` reads stdin instead")
        })?,
        None if source == "-" => {
            let mut text = String::new();
            std::io::stdin().take(limits::VALUE_BYTES as u64 + 1).read_to_string(&mut text).map_err(|error| {
                Trouble::new(Exit::Usage, format!("stdin cannot be read: {error}"))
                    .hint("give it JSON, or name a file with JSON: `@FILE`")
            })?;
            text
        }
        None => source.to_owned(),
    })
}

/// Reads a whole object from a file, from stdin or from the text itself.
fn whole(source: &str) -> anyhow::Result<Object> {
    let text = text(source)?;
    let (message, hint) = match (serde_json::from_str(&text), serde_json::from_str::<&RawValue>(&text)) {
        (Ok(object), _) => return Ok(object),
        (Err(_), Ok(_)) => {
            ("`--params` is JSON, but not an object".to_owned(), "write it as `--params '{\"name\": \"value\"}'`")
        }
        (Err(error), Err(_)) => (
            format!("`--params` is not JSON: {error}"),
            "write it as `--params '{\"name\": \"value\"}'`, or `--params @FILE`",
        ),
    };
    Err(Trouble::new(Exit::Usage, message).hint(hint).into())
}

fn one(typed: &str, schema: &Value) -> Result<(String, Box<RawValue>), Trouble> {
    let (name, text) = typed.split_once('=').ok_or_else(|| {
        Trouble::new(Exit::Usage, format!("`-p {typed}` has no value")).hint(format!("write it as `-p {typed}=VALUE`"))
    })?;
    if let Some(name) = name.strip_suffix(':') {
        let value = RawValue::from_string(text.to_owned()).map_err(|error| {
            Trouble::new(Exit::Usage, format!("`{name}` is not JSON: {error}"))
                .hint(format!("`-p {name}={text}` takes it as the schema says"))
        })?;
        return Ok((name.to_owned(), value));
    }
    Ok((name.to_owned(), by_schema(text, &schema["properties"][name], schema)))
}

/// Takes a text as the type that the schema wants; what does not fit is left to the schema to refuse. `null` is null
/// where that is allowed: the text of that name is typed as JSON then, `-p 'name:="null"'`.
fn by_schema(text: &str, wanted: &Value, root: &Value) -> Box<RawValue> {
    let (mut types, mut members) = (Vec::new(), Vec::new());
    each_part(wanted, root, 0, &mut |part| {
        match &part["type"] {
            Value::Array(several) => types.extend(several.iter().cloned()),
            one => types.extend(one.as_str().map(Value::from)),
        }
        members.extend(part["enum"].as_array().into_iter().flatten().cloned());
        members.extend(part.get("const").cloned());
    });
    let has = |word: &str| types.iter().any(|it| it == word);
    let raw = |text: String| RawValue::from_string(text);
    let as_text = || raw(Value::from(text).to_string()).expect("a text is JSON");
    match text {
        // Of what may be chosen that is meant which is written so: a text before a number.
        _ if members.iter().any(|it| it.as_str() == Some(text)) => as_text(),
        _ if serde_json::from_str(text).is_ok_and(|said: Value| !said.is_string() && members.contains(&said)) => {
            raw(text.to_owned()).unwrap_or_else(|_| as_text())
        }
        "null" if has("null") => raw("null".to_owned()).unwrap_or_else(|_| as_text()),
        _ if has("string") || members.iter().any(Value::is_string) => as_text(),
        _ if types.is_empty() && !members.contains(&Value::Null) => as_text(),
        _ => raw(text.to_owned()).unwrap_or_else(|_| as_text()),
    }
}

/// Calls `see` with a schema, and with each that it refers to or is put together from.
fn each_part(schema: &Value, root: &Value, depth: usize, see: &mut impl FnMut(&Value)) {
    // A schema may refer to itself.
    if depth > 8 {
        return;
    }
    see(schema);
    if let Some(target) = schema["$ref"].as_str().and_then(|it| it.strip_prefix('#')).and_then(|it| root.pointer(it)) {
        each_part(target, root, depth + 1, see);
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        for part in schema[key].as_array().into_iter().flatten() {
            each_part(part, root, depth + 1, see);
        }
    }
}

/// Returns the name that was meant, if one is near.
pub(crate) fn meant<'a, T: AsRef<str>>(name: &str, known: &'a [T]) -> Option<&'a T> {
    let near = |it: &T| strsim::jaro(name, it.as_ref());
    known.iter().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|it| near(it) > 0.7)
}

fn unknown(name: &str, known: &[&String]) -> Trouble {
    let near = meant(name, known);
    let message = match near {
        Some(near) => format!("no parameter `{name}`; did you mean `{near}`?"),
        None => format!("no parameter `{name}`"),
    };
    let list: Vec<String> = known.iter().map(|it| format!("`{it}`")).collect();
    Trouble::new(Exit::Usage, message).hint(format!("the flow takes {}", list.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str, wanted: &Value) -> String {
        by_schema(text, wanted, &serde_json::json!({"$defs": {"n": {"type": "integer"}}})).get().to_owned()
    }

    fn value(text: &str, wanted: Value) -> Value {
        serde_json::from_str(&raw(text, &wanted)).unwrap()
    }

    #[test]
    fn null_and_the_text_of_that_name_are_told_apart() {
        use serde_json::json;
        let day = json!({"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "default": null});
        assert_eq!(value("null", day.clone()), Value::Null);
        assert_eq!(value("2026-02-28", day.clone()), json!("2026-02-28"));
        assert_eq!(value("null", json!({"type": "string"})), json!("null"), "nothing else fits");
        assert_eq!(value("null", json!({"enum": ["a", null]})), Value::Null);
        let schema = json!({"properties": {"day": day}});
        assert_eq!(one("day:=\"null\"", &schema).unwrap().1.get(), "\"null\"");
    }

    #[test]
    fn what_may_be_chosen_is_taken_as_it_is() {
        use serde_json::json;
        assert_eq!(value("2", json!({"enum": [1, 2]})), json!(2));
        assert_eq!(value("3", json!({"enum": ["a", "b", 3]})), json!(3));
        assert_eq!(value("3", json!({"enum": ["3", 3]})), json!("3"), "a text before a number");
        assert_eq!(value("true", json!({"anyOf": [{"const": true}, {"type": "string"}]})), json!(true));
    }

    #[test]
    fn a_number_keeps_its_digits() {
        let integer = serde_json::json!({"type": "integer"});
        for digits in ["9007199254740993", "123456789012345678901234567890", "-0", "1.0"] {
            assert_eq!(raw(digits, &integer), digits);
        }
    }

    #[test]
    fn a_parameter_takes_the_type_of_the_schema() {
        use serde_json::json;
        assert_eq!(value("3", json!({"type": "integer"})), json!(3));
        assert_eq!(value("3", json!({"type": "string"})), json!("3"));
        assert_eq!(value("3", json!({"type": ["integer", "null"]})), json!(3));
        assert_eq!(value("3", json!({"$ref": "#/$defs/n"})), json!(3));
        assert_eq!(value("true", json!({"anyOf": [{"type": "boolean"}, {"type": "null"}]})), json!(true));
        assert_eq!(value("[1]", json!({"type": "array"})), json!([1]));
        assert_eq!(value("x", json!({"type": "integer"})), json!("x"), "the schema refuses it, by name");
        assert_eq!(value("ok", json!({"enum": ["ok", "fail"]})), json!("ok"));
    }

    #[test]
    fn a_typo_is_told_apart_from_an_unknown_name() {
        let (customer, n) = ("customer".to_owned(), "n".to_owned());
        let message = |name| unknown(name, &[&customer, &n]).message;
        assert_eq!(message("custmer"), "no parameter `custmer`; did you mean `customer`?");
        assert_eq!(message("zzz"), "no parameter `zzz`");
    }
}
