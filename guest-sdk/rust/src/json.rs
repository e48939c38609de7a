//! Values as JSON. Nothing is lost in silence: what JSON cannot say is refused with its place.
//!
//! By hand rather than by serde_json, which writes `null` for NaN and cannot say where in a value something went wrong. What it
//! does well, numbers and texts, it does here too.

use std::fmt::{self, Display};

use serde::de::Deserialize;
use serde::ser::{self, Serialize, Serializer};

/// As deep as a host reads: 128 levels are refused. A value that holds itself ends here, too.
const DEEPEST: usize = 127;

/// How serde_json hands over a value that is JSON already, and a number of any size.
const VERBATIM: [&str; 2] = ["$serde_json::private::RawValue", "$serde_json::private::Number"];

/// What JSON cannot say, as a sentence goes on: ``at `/rows/1` is NaN, which JSON cannot say``.
#[derive(Debug)]
pub(crate) struct Unsayable(String);

impl Display for Unsayable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns a value as JSON.
pub(crate) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, Unsayable> {
    let mut out = Vec::new();
    write(&mut out, None, value)?;
    Ok(String::from_utf8(out).expect("JSON is made of texts"))
}

/// Writes a value as JSON; `name` is what it is called where it belongs.
pub(crate) fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, name: Option<&str>, value: &T) -> Result<(), Unsayable> {
    let mut writer = Writer { out, path: name.map(|it| Step::Name(it.to_owned())).into_iter().collect() };
    let Err(error) = value.serialize(&mut writer) else { return Ok(()) };
    // The steps to where it failed were left as they were. Where they are too many, the first say enough.
    let (shown, rest) = if writer.path.len() > DEEPEST { (4, "/…") } else { (DEEPEST, "") };
    let mut pointer: String = writer.path.iter().take(shown).map(|step| writer.shown(step)).collect();
    pointer.push_str(rest);
    Err(Unsayable(if pointer.is_empty() { error.0 } else { format!("at `{pointer}` {}", error.0) }))
}

/// Reads JSON. A `Value` has whole numbers of 64 bits, and serde_json rounds larger ones in silence: they are refused.
pub(crate) fn read<'a, T: Deserialize<'a>>(text: &'a str) -> serde_json::Result<T> {
    if std::any::type_name::<T>().contains("serde_json::value::Value")
        && let Some(number) = too_long(text)
    {
        let message =
            format!("{number} has more than 64 bits, and a `Value` would round it: take an `i128`, or a text");
        return Err(serde::de::Error::custom(message));
    }
    serde_json::from_str(text)
}

/// Returns the first whole number that has more than 64 bits.
fn too_long(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        rest = &rest[at..];
        if let Some(string) = rest.strip_prefix('"') {
            let mut is_escaped = false;
            let end = string.find(|c| {
                let ends = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                ends
            });
            rest = end.map_or("", |end| &string[end + 1..]);
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        let is_whole = !number.contains(['.', 'e', 'E']);
        if is_whole && number.parse::<u64>().is_err() && number.parse::<i64>().is_err() {
            return Some(number);
        }
        rest = after;
    }
    None
}

/// One step into a value.
enum Step {
    Name(String),
    Field(&'static str),
    /// A key of a map, by where it was written.
    Key(usize, usize),
    Item(usize),
}

/// What is wrong with the part that is written.
#[derive(Debug)]
struct Wrong(String);

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

impl ser::Error for Wrong {
    fn custom<T: Display>(message: T) -> Self {
        Self(format!("cannot become JSON: {message}"))
    }
}

struct Writer<'a> {
    out: &'a mut Vec<u8>,
    path: Vec<Step>,
}

impl Writer<'_> {
    /// Returns a step as a part of a JSON pointer.
    fn shown(&self, step: &Step) -> String {
        let escaped = |it: &str| format!("/{}", it.replace('~', "~0").replace('/', "~1"));
        match step {
            Step::Name(name) => escaped(name),
            Step::Field(name) => escaped(name),
            Step::Key(from, to) => {
                let key = self.out.get(*from..*to).and_then(|it| serde_json::from_slice::<String>(it).ok());
                escaped(&key.unwrap_or_default())
            }
            Step::Item(index) => format!("/{index}"),
        }
    }

    fn plain(&mut self, text: impl Display) {
        self.out.extend_from_slice(text.to_string().as_bytes());
    }

    /// Writes what serde_json writes as we want it.
    fn as_ever<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        serde_json::to_writer(&mut *self.out, value).map_err(ser::Error::custom)
    }

    fn float<T: Serialize>(&mut self, value: T, wide: f64) -> Result<(), Wrong> {
        if wide.is_finite() {
            return self.as_ever(&value);
        }
        let name = if wide.is_nan() {
            "NaN"
        } else if wide > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        Err(Wrong(format!("is {name}, which JSON cannot say")))
    }

    /// Writes what is handed over as a text that is JSON.
    fn verbatim<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        let from = self.out.len();
        value.serialize(&mut *self)?;
        let json: String = serde_json::from_slice(&self.out[from..]).map_err(ser::Error::custom)?;
        self.out.truncate(from);
        self.plain(json);
        Ok(())
    }

    fn inside<T: Serialize + ?Sized>(&mut self, step: Step, value: &T) -> Result<(), Wrong> {
        self.path.push(step);
        if self.path.len() > DEEPEST {
            return Err(Wrong(format!("is more than {DEEPEST} levels deep, or holds itself")));
        }
        value.serialize(&mut *self)?;
        self.path.pop();
        Ok(())
    }
}

/// What has parts: a list or an object, and perhaps an object of one field around it, which names an enum's variant.
struct Parts<'w, 'a> {
    writer: &'w mut Writer<'a>,
    count: usize,
    end: &'static str,
    /// Whether the step of a variant has to be taken back.
    is_variant: bool,
    /// Where the key of the next value is.
    key: (usize, usize),
    is_verbatim: bool,
}

impl<'w, 'a> Parts<'w, 'a> {
    fn begin(writer: &'w mut Writer<'a>, begin: &str, end: &'static str) -> Self {
        writer.plain(begin);
        Self { writer, count: 0, end, is_variant: false, key: (0, 0), is_verbatim: false }
    }

    fn of_variant(writer: &'w mut Writer<'a>, variant: &'static str, begin: &str, end: &'static str) -> Self {
        writer.plain(format_args!("{{{}:{begin}", serde_json::Value::from(variant)));
        writer.path.push(Step::Field(variant));
        Self { is_variant: true, ..Self::begin(writer, "", end) }
    }

    fn comma(&mut self) {
        if self.count > 0 {
            self.writer.out.push(b',');
        }
        self.count += 1;
    }

    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        self.comma();
        self.writer.inside(Step::Item(self.count - 1), value)
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Wrong> {
        if self.is_verbatim {
            return self.writer.verbatim(value);
        }
        self.comma();
        self.writer.as_ever(key)?;
        self.writer.out.push(b':');
        self.writer.inside(Step::Field(key), value)
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Wrong> {
        self.comma();
        let from = self.writer.out.len();
        key.serialize(&mut *self.writer)?;
        let written = &self.writer.out[from..];
        // Numbers and truths are keys as their text is, as serde_json has it.
        if written.first().is_some_and(|it| *it != b'"') {
            let is_word = !written.starts_with(b"null") && !written.iter().any(|it| b"[{".contains(it));
            if !is_word {
                let shown = String::from_utf8_lossy(written).into_owned();
                self.writer.out.truncate(from);
                return Err(Wrong(format!("has the key `{shown}`, and in JSON all keys are text")));
            }
            self.writer.out.insert(from, b'"');
            self.writer.out.push(b'"');
        }
        self.key = (from, self.writer.out.len());
        self.writer.out.push(b':');
        Ok(())
    }

    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        self.writer.inside(Step::Key(self.key.0, self.key.1), value)
    }

    fn finish(self) -> Result<(), Wrong> {
        self.writer.plain(self.end);
        if self.is_variant {
            self.writer.path.pop();
        }
        Ok(())
    }
}

macro_rules! whole_numbers {
    ($($name:ident: $kind:ty),*) => {
        $(fn $name(self, value: $kind) -> Result<(), Wrong> {
            self.plain(value);
            Ok(())
        })*
    };
}

impl<'w, 'a> Serializer for &'w mut Writer<'a> {
    type Ok = ();
    type Error = Wrong;
    type SerializeSeq = Parts<'w, 'a>;
    type SerializeTuple = Parts<'w, 'a>;
    type SerializeTupleStruct = Parts<'w, 'a>;
    type SerializeTupleVariant = Parts<'w, 'a>;
    type SerializeMap = Parts<'w, 'a>;
    type SerializeStruct = Parts<'w, 'a>;
    type SerializeStructVariant = Parts<'w, 'a>;

    whole_numbers!(
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64,
        serialize_i128: i128, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64,
        serialize_u128: u128
    );

    fn serialize_f32(self, value: f32) -> Result<(), Wrong> {
        self.float(value, value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Wrong> {
        self.float(value, value)
    }

    fn serialize_char(self, value: char) -> Result<(), Wrong> {
        self.as_ever(&value)
    }

    fn serialize_str(self, value: &str) -> Result<(), Wrong> {
        self.as_ever(value)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Wrong> {
        self.as_ever(value)
    }

    fn serialize_none(self) -> Result<(), Wrong> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Wrong> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Wrong> {
        self.plain("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Wrong> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Wrong> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Wrong> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Wrong> {
        let mut parts = Parts::begin(self, "{", "}");
        parts.field(variant, value)?;
        parts.finish()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'w, 'a>, Wrong> {
        Ok(Parts::begin(self, "[", "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'w, 'a>, Wrong> {
        Ok(Parts::begin(self, "[", "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'w, 'a>, Wrong> {
        Ok(Parts::begin(self, "[", "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'w, 'a>, Wrong> {
        Ok(Parts::of_variant(self, variant, "[", "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'w, 'a>, Wrong> {
        Ok(Parts::begin(self, "{", "}"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'w, 'a>, Wrong> {
        if VERBATIM.contains(&name) {
            return Ok(Parts { is_verbatim: true, ..Parts::begin(self, "", "") });
        }
        Ok(Parts::begin(self, "{", "}"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'w, 'a>, Wrong> {
        Ok(Parts::of_variant(self, variant, "{", "}}"))
    }
}

macro_rules! items {
    ($($kind:ident: $method:ident),*) => {
        $(impl ser::$kind for Parts<'_, '_> {
            type Ok = ();
            type Error = Wrong;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
                self.item(value)
            }

            fn end(self) -> Result<(), Wrong> {
                self.finish()
            }
        })*
    };
}

items!(
    SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
);

macro_rules! fields {
    ($($kind:ident),*) => {
        $(impl ser::$kind for Parts<'_, '_> {
            type Ok = ();
            type Error = Wrong;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Wrong> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), Wrong> {
                self.finish()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Parts<'_, '_> {
    type Ok = ();
    type Error = Wrong;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Wrong> {
        self.key(key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Wrong> {
        self.value(value)
    }

    fn end(self) -> Result<(), Wrong> {
        self.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use serde::Serialize;
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Shape {
        Nothing,
        Round(f64),
        Pair(i32, f32),
        Named { wide: f64 },
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Wrapped(u8);

    #[derive(Serialize)]
    struct Outer<T> {
        #[serde(flatten)]
        more: BTreeMap<String, T>,
        shape: Shape,
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<u8>,
    }

    fn outer<T>(value: T) -> Outer<T> {
        Outer { more: BTreeMap::from([("x".to_owned(), value)]), shape: Shape::Nothing, left_out: None }
    }

    #[track_caller]
    fn as_serde_json(value: impl Serialize) {
        assert_eq!(text(&value).unwrap(), serde_json::to_string(&value).unwrap());
    }

    #[test]
    fn what_can_be_said_is_written_as_serde_json_does() {
        as_serde_json((
            1,
            "a\"\n\u{7f}é😀",
            'c',
            true,
            (),
            None::<u8>,
            Some(1.5),
            1e300,
            0.1f32,
            -0.0,
            u64::MAX,
            i64::MIN,
        ));
        as_serde_json((i128::MAX, u128::MAX, Unit, Wrapped(1), Vec::<u8>::new(), [[1], [2]]));
        as_serde_json([Shape::Nothing, Shape::Round(1.0), Shape::Pair(1, 2.5), Shape::Named { wide: 1.0 }]);
        as_serde_json(outer(json!({"a": [1, {"b": null}], "c": {}})));
        as_serde_json((BTreeMap::from([(1, "x")]), BTreeMap::from([(true, 1)]), BTreeMap::from([('c', 1)])));
        as_serde_json(BTreeMap::from([(i128::MAX, RawValue::from_string("{\"z\": 1}".into()).unwrap())]));
        as_serde_json(Value::Null);
    }

    #[track_caller]
    fn refused(value: impl Serialize, words: &str) {
        assert_eq!(text(&value).unwrap_err().to_string(), words);
    }

    #[test]
    fn what_cannot_be_said_is_told_with_its_place() {
        refused(f64::NAN, "is NaN, which JSON cannot say");
        refused(json!({"a": 1}).as_object().map(|_| f32::INFINITY), "is Infinity, which JSON cannot say");
        refused((1, [0.0, f64::NEG_INFINITY]), "at `/1/1` is -Infinity, which JSON cannot say");
        refused(outer(vec![1.5, f64::NAN]), "at `/x/1` is NaN, which JSON cannot say");
        refused(BTreeMap::from([("a/b~", f64::NAN)]), "at `/a~1b~0` is NaN, which JSON cannot say");
        refused(BTreeMap::from([(1, Some(f64::NAN))]), "at `/1` is NaN, which JSON cannot say");
        refused([Shape::Nothing, Shape::Round(f64::NAN)], "at `/1/round` is NaN, which JSON cannot say");
        refused([Shape::Pair(1, f32::NAN)], "at `/0/pair/1` is NaN, which JSON cannot say");
        refused(Shape::Named { wide: f64::NAN }, "at `/named/wide` is NaN, which JSON cannot say");
        refused(BTreeMap::from([((1, 2), 3)]), "has the key `[1,2]`, and in JSON all keys are text");
        refused([BTreeMap::from([(None::<u8>, 3)])], "at `/0` has the key `null`, and in JSON all keys are text");
        refused(
            std::path::Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff")),
            "cannot become JSON: path contains invalid UTF-8 characters",
        );
    }

    #[test]
    fn a_value_rounds_no_whole_number() {
        let long = r#"{"a\"": ["1\\", 18446744073709551615, -9223372036854775808, 1e300], "b": 18446744073709551616}"#;
        let said = read::<Value>(long).unwrap_err().to_string();
        assert!(said.starts_with("18446744073709551616 has more than 64 bits"), "{said}");
        assert!(read::<Option<Vec<Value>>>("[-9223372036854775809]").is_err());
        assert_eq!(read::<i128>("-9223372036854775809").unwrap(), -9_223_372_036_854_775_809);
        assert_eq!(
            read::<Value>(r#"["18446744073709551616", 1.5, -1]"#).unwrap(),
            json!(["18446744073709551616", 1.5, -1])
        );
    }

    struct Ring(RefCell<Option<Rc<Ring>>>);

    impl Serialize for Ring {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.0.borrow().as_deref())
        }
    }

    #[test]
    fn what_holds_itself_ends() {
        let ring = Rc::new(Ring(RefCell::new(None)));
        *ring.0.borrow_mut() = Some(Rc::clone(&ring));
        let said = text(&*ring).unwrap_err().to_string();
        assert!(
            said.starts_with("at `/0/0/0/0/…` is more") && said.ends_with("levels deep, or holds itself"),
            "{said}"
        );
        ring.0.borrow_mut().take();
        let mut list = json!([]);
        for _ in 1..DEEPEST {
            list = json!([list]);
        }
        as_serde_json(&list);
        assert!(text(&[[list]]).is_err());
    }
}
