//! Values of the Component Model as JSON, and the JSON Schema of their types.
//!
//! | type | JSON |
//! |---|---|
//! | `bool`, `string`, integers, floats | the same; a float that is no number cannot be said |
//! | `char` | a string of one character |
//! | `list`, `tuple` | an array |
//! | `record` | an object; a field whose type is an `option` may be left out |
//! | `option` | the value, or `null` |
//! | `enum`, a case without a value | its name |
//! | a case with a value | an object with the case's name alone |
//! | `result` | `{"ok": …}` or `{"err": …}` |
//! | `flags` | an array of names |

use retake_core::limits;
use serde_json::{Map, Number, Value, json};
use wasmtime::component::Val;
use wasmtime::component::types::Type;

/// How much may still be made of a few bytes: a type stands for very many, and so does an object with nothing in it.
pub(super) struct Budget {
    parts: u32,
    /// Of names, which are written out wherever their type is.
    bytes: usize,
}

impl Budget {
    /// For the schemas of a component together.
    pub(super) fn of_schemas() -> Self {
        Self { parts: 5000, bytes: limits::METADATA_BYTES }
    }

    /// For what a function is called with: as many values as its JSON can say one by one.
    pub(super) fn of_values() -> Self {
        Self { parts: limits::VALUE_BYTES as u32 / 2 + 10_000, bytes: 16 * limits::VALUE_BYTES }
    }

    fn part(&mut self) -> Option<()> {
        self.parts = self.parts.checked_sub(1)?;
        Some(())
    }

    pub(super) fn name(&mut self, name: &str) -> Option<()> {
        // With its quotes and what stands between it and the next.
        self.bytes = self.bytes.checked_sub(name.len() + 8)?;
        Some(())
    }
}

pub(super) const TOO_LARGE: &str = "its types are too large to be described";

/// Returns the schema of a type, or why it has none.
pub(super) fn schema(kind: &Type, place: &str, budget: &mut Budget) -> Result<Value, String> {
    budget.part().ok_or(TOO_LARGE)?;
    let integer = |low: i64, high: i64| json!({ "type": "integer", "minimum": low, "maximum": high });
    let part = |kind: &Type, budget: &mut Budget| schema(kind, place, budget);
    let or_null = |kind: Option<Type>, budget: &mut Budget| match kind {
        Some(kind) => schema(&kind, place, budget),
        None => Ok(json!({ "type": "null" })),
    };
    Ok(match kind {
        Type::Bool => json!({ "type": "boolean" }),
        Type::S8 => integer(i8::MIN.into(), i8::MAX.into()),
        Type::U8 => integer(0, u8::MAX.into()),
        Type::S16 => integer(i16::MIN.into(), i16::MAX.into()),
        Type::U16 => integer(0, u16::MAX.into()),
        Type::S32 => integer(i32::MIN.into(), i32::MAX.into()),
        Type::U32 => integer(0, u32::MAX.into()),
        Type::S64 => integer(i64::MIN, i64::MAX),
        Type::U64 => json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX }),
        Type::Float32 | Type::Float64 => json!({ "type": "number" }),
        Type::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Type::String => json!({ "type": "string" }),
        Type::List(list) => json!({ "type": "array", "items": part(&list.ty(), budget)? }),
        Type::Tuple(tuple) => {
            let parts = tuple.types().map(|it| part(&it, budget)).collect::<Result<Vec<_>, _>>()?;
            let count = parts.len();
            json!({ "type": "array", "prefixItems": parts, "minItems": count, "maxItems": count })
        }
        Type::Record(record) => {
            let (mut properties, mut required) = (Map::new(), Vec::new());
            for field in record.fields() {
                // Among the properties, and among what is required.
                budget.name(field.name).and_then(|()| budget.name(field.name)).ok_or(TOO_LARGE)?;
                properties.insert(field.name.to_owned(), part(&field.ty, budget)?);
                if !matches!(field.ty, Type::Option(_)) {
                    required.push(Value::from(field.name));
                }
            }
            json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
        }
        Type::Option(option) => json!({ "anyOf": [part(&option.ty(), budget)?, { "type": "null" }] }),
        Type::Enum(names) => json!({ "enum": named(names.names(), budget)? }),
        Type::Flags(names) => {
            json!({ "type": "array", "items": { "enum": named(names.names(), budget)? }, "uniqueItems": true })
        }
        Type::Variant(variant) => {
            let mut cases = Vec::new();
            for case in variant.cases() {
                budget.name(case.name).and_then(|()| budget.name(case.name)).ok_or(TOO_LARGE)?;
                cases.push(match case.ty {
                    None => json!({ "const": case.name }),
                    Some(kind) => alone(case.name, part(&kind, budget)?),
                });
            }
            json!({ "oneOf": cases })
        }
        Type::Result(result) => json!({ "oneOf": [
            alone("ok", or_null(result.ok(), budget)?),
            alone("err", or_null(result.err(), budget)?),
        ] }),
        Type::Own(_) | Type::Borrow(_) => {
            return Err(format!("{place} is or holds a resource, which does not outlive its sandbox"));
        }
        Type::Stream(_) => return Err(format!("{place} is or holds a stream, which cannot be kept")),
        Type::Future(_) => return Err(format!("{place} is or holds a future, which cannot be kept")),
        _ => return Err(format!("{place} is or holds a value that has no JSON")),
    })
}

fn named<'n>(names: impl Iterator<Item = &'n str>, budget: &mut Budget) -> Result<Vec<&'n str>, String> {
    names.map(|it| budget.name(it).map(|()| it).ok_or_else(|| TOO_LARGE.to_owned())).collect()
}

/// The schema of an object with one field.
fn alone(name: &str, schema: Value) -> Value {
    json!({ "type": "object", "properties": { name: schema }, "required": [name], "additionalProperties": false })
}

/// Returns what a value is in a type, or why it is none of it. What fits the schema fits.
pub(super) fn to_val(kind: &Type, value: &Value, budget: &mut Budget) -> Result<Val, String> {
    const TOO_MANY: &str = "it stands for too many values";
    budget.part().ok_or(TOO_MANY)?;
    macro_rules! integer {
        ($wide:ident, $case:ident, $narrow:ty) => {
            // Beyond 64 bits, or with a fraction, it is no integer of ours: `1.0` is one to a schema.
            number(value)?
                .$wide()
                .and_then(|it| <$narrow>::try_from(it).ok())
                .map(Val::$case)
                .ok_or_else(|| wrong(kind, value))?
        };
    }
    let text = || value.as_str().ok_or_else(|| wrong(kind, value));
    let array = || value.as_array().ok_or_else(|| wrong(kind, value));
    Ok(match kind {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(|| wrong(kind, value))?),
        Type::S8 => integer!(as_i64, S8, i8),
        Type::S16 => integer!(as_i64, S16, i16),
        Type::S32 => integer!(as_i64, S32, i32),
        Type::S64 => integer!(as_i64, S64, i64),
        Type::U8 => integer!(as_u64, U8, u8),
        Type::U16 => integer!(as_u64, U16, u16),
        Type::U32 => integer!(as_u64, U32, u32),
        Type::U64 => integer!(as_u64, U64, u64),
        Type::Float32 => Val::Float32(value.as_f64().ok_or_else(|| wrong(kind, value))? as f32),
        Type::Float64 => Val::Float64(value.as_f64().ok_or_else(|| wrong(kind, value))?),
        Type::Char => Val::Char(text()?.parse().map_err(|_| wrong(kind, value))?),
        Type::String => Val::String(text()?.to_owned()),
        Type::List(list) => {
            let kind = list.ty();
            Val::List(array()?.iter().map(|it| to_val(&kind, it, budget)).collect::<Result<_, _>>()?)
        }
        Type::Tuple(tuple) => {
            let array = array()?;
            if array.len() != tuple.types().len() {
                return Err(wrong(kind, value));
            }
            Val::Tuple(tuple.types().zip(array).map(|(kind, it)| to_val(&kind, it, budget)).collect::<Result<_, _>>()?)
        }
        Type::Record(record) => {
            let object = value.as_object().ok_or_else(|| wrong(kind, value))?;
            let mut field = |name: &str, kind: &Type| {
                budget.name(name).ok_or(TOO_MANY)?;
                let value = to_val(kind, object.get(name).unwrap_or(&Value::Null), budget);
                value.map(|it| (name.to_owned(), it)).map_err(|why| format!("`{name}`: {why}"))
            };
            Val::Record(record.fields().map(|it| field(it.name, &it.ty)).collect::<Result<_, _>>()?)
        }
        Type::Option(option) => Val::Option(match value {
            Value::Null => None,
            value => Some(Box::new(to_val(&option.ty(), value, budget)?)),
        }),
        Type::Enum(names) => {
            let name = text()?;
            names.names().find(|it| *it == name).map(|it| Val::Enum(it.to_owned())).ok_or_else(|| wrong(kind, value))?
        }
        Type::Flags(names) => {
            let named = |it: &Value| names.names().find(|name| it == name).map(str::to_owned);
            let all = array()?.iter().map(|it| named(it).ok_or_else(|| wrong(kind, it)));
            Val::Flags(all.collect::<Result<_, _>>()?)
        }
        Type::Variant(variant) => {
            let (name, inner) = case(value).ok_or_else(|| wrong(kind, value))?;
            let case = variant.cases().find(|it| it.name == name).ok_or_else(|| wrong(kind, value))?;
            let inner = match (case.ty, inner) {
                (Some(kind), Some(inner)) => Some(Box::new(to_val(&kind, inner, budget)?)),
                (None, None) => None,
                _ => return Err(wrong(kind, value)),
            };
            Val::Variant(name.to_owned(), inner)
        }
        Type::Result(result) => {
            let mut inner = |kind: Option<Type>, value: &Value| match kind {
                Some(kind) => to_val(&kind, value, budget).map(|it| Some(Box::new(it))),
                None => Ok(None),
            };
            match case(value) {
                Some(("ok", Some(value))) => Val::Result(Ok(inner(result.ok(), value)?)),
                Some(("err", Some(value))) => Val::Result(Err(inner(result.err(), value)?)),
                _ => return Err(wrong(kind, value)),
            }
        }
        _ => return Err(wrong(kind, value)),
    })
}

/// Reads a number; one without a fraction is a whole one, however it is written.
fn number(value: &Value) -> Result<Number, String> {
    let number = value.as_number().ok_or_else(|| format!("{value} is no number"))?;
    match number.as_f64().filter(|it| number.is_f64() && it.fract() == 0.0 && it.abs() < 9e15) {
        Some(whole) if whole >= 0.0 => Ok(Number::from(whole as u64)),
        Some(whole) => Ok(Number::from(whole as i64)),
        None => Ok(number.clone()),
    }
}

/// Reads a case: its name, or an object with its name alone.
fn case(value: &Value) -> Option<(&str, Option<&Value>)> {
    match value {
        Value::String(name) => Some((name, None)),
        Value::Object(fields) if fields.len() == 1 => fields.iter().next().map(|(name, it)| (name.as_str(), Some(it))),
        _ => None,
    }
}

fn wrong(kind: &Type, value: &Value) -> String {
    let value: String = value.to_string().chars().take(80).collect();
    format!("{value} is no {}", word(kind))
}

/// What WIT calls a type.
fn word(kind: &Type) -> &'static str {
    match kind {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::List(_) => "list",
        Type::Record(_) => "record",
        Type::Tuple(_) => "tuple",
        Type::Variant(_) => "variant",
        Type::Enum(_) => "enum",
        Type::Option(_) => "option",
        Type::Result(_) => "result",
        Type::Flags(_) => "flags",
        _ => "value that can be kept",
    }
}

/// Returns a value as JSON, or what it is that has none.
pub(super) fn from_val(value: &Val) -> Result<Value, String> {
    let all = |of: &[Val]| of.iter().map(from_val).collect::<Result<Vec<_>, _>>().map(Value::Array);
    let inner = |of: Option<&Val>| of.map_or(Ok(Value::Null), from_val);
    let float = |it: f64| {
        Number::from_f64(it).map(Value::Number).ok_or_else(|| format!("{it}, which is no number that JSON can say"))
    };
    Ok(match value {
        Val::Bool(it) => json!(it),
        Val::S8(it) => json!(it),
        Val::U8(it) => json!(it),
        Val::S16(it) => json!(it),
        Val::U16(it) => json!(it),
        Val::S32(it) => json!(it),
        Val::U32(it) => json!(it),
        Val::S64(it) => json!(it),
        Val::U64(it) => json!(it),
        Val::Float32(it) => float((*it).into())?,
        Val::Float64(it) => float(*it)?,
        Val::Char(it) => json!(it.to_string()),
        Val::String(it) | Val::Enum(it) => json!(it),
        Val::List(it) | Val::Tuple(it) => all(it)?,
        Val::Record(fields) => {
            let fields = fields.iter().map(|(name, it)| Ok((name.clone(), from_val(it)?)));
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        Val::Variant(name, None) => json!(name),
        Val::Variant(name, Some(it)) => json!({ name.as_str(): from_val(it)? }),
        Val::Option(it) => inner(it.as_deref())?,
        Val::Result(Ok(it)) => json!({ "ok": inner(it.as_deref())? }),
        Val::Result(Err(it)) => json!({ "err": inner(it.as_deref())? }),
        Val::Flags(names) => json!(names),
        _ => return Err("a value that has no JSON".into()),
    })
}
