//! What templates expect of Python: methods of its texts and maps, how it prints constants, its JSON.

use minijinja::{
    Error, ErrorKind, Output, State,
    value::{Kwargs, Value, ValueKind},
};

/// Nested values deeper than this are refused: the stack is finite.
const MAX_DEPTH: usize = 64;

/// What `str.strip` and `str.split` take for whitespace.
fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// A method that the template engine does not know.
pub(super) fn method(_: &State<'_, '_>, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    let known = match value.as_str() {
        Some(text) => text_method(text, name, args)?,
        None if value.kind() == ValueKind::Map => map_method(value, name, args)?,
        None => None,
    };
    known
        .ok_or_else(|| Error::new(ErrorKind::UnknownMethod, format!("no method {name} with these arguments")))
}

fn map_method(map: &Value, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    let entry = |key: &Value| map.get_item(key).map(|v| (!v.is_undefined()).then_some(v));
    Ok(Some(match (name, args) {
        ("get", [key]) => entry(key)?.unwrap_or(Value::from(())),
        ("get", [key, default]) => entry(key)?.unwrap_or_else(|| default.clone()),
        ("keys", []) => map.try_iter()?.collect(),
        ("values", []) => map.try_iter()?.map(|k| map.get_item(&k)).collect::<Result<_, _>>()?,
        ("items", []) => map
            .try_iter()?
            .map(|k| map.get_item(&k).map(|v| Value::from(vec![k, v])))
            .collect::<Result<_, _>>()?,
        _ => return Ok(None),
    }))
}

fn text_method(text: &str, name: &str, args: &[Value]) -> Result<Option<Value>, Error> {
    if let ("startswith" | "endswith", [one]) = (name, args) {
        return affix(text, name == "startswith", one).map(|b| Some(b.into()));
    }
    if let ("join", [parts]) = (name, args) {
        let parts: Vec<Value> = parts.try_iter()?.collect();
        let parts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
        return Ok(Some(parts.ok_or_else(|| refused("join of what is no text"))?.join(text).into()));
    }
    // A number counts splits or replacements; negative is as many as there are.
    let (args, count) = match args.split_last() {
        Some((last, rest)) if last.is_integer() => (rest, last.as_usize()),
        _ => (args, None),
    };
    let args: Option<Vec<&str>> = args.iter().map(Value::as_str).collect();
    let Some(args) = args else { return Ok(None) };
    if args.contains(&"") && matches!(name, "split" | "rsplit") {
        return Err(refused("empty separator"));
    }
    Ok(match count {
        None => plain_text_method(text, name, &args),
        Some(count) => counted_text_method(text, name, &args, count),
    })
}

fn plain_text_method(text: &str, name: &str, args: &[&str]) -> Option<Value> {
    Some(match (name, args) {
        ("strip", []) => text.trim_matches(is_space).into(),
        ("lstrip", []) => text.trim_start_matches(is_space).into(),
        ("rstrip", []) => text.trim_end_matches(is_space).into(),
        ("strip", [set]) => text.trim_matches(|c| set.contains(c)).into(),
        ("lstrip", [set]) => text.trim_start_matches(|c| set.contains(c)).into(),
        ("rstrip", [set]) => text.trim_end_matches(|c| set.contains(c)).into(),
        ("upper", []) => text.to_uppercase().into(),
        ("lower", []) => text.to_lowercase().into(),
        ("title", []) => title(text).into(),
        ("capitalize", []) => capitalize(text).into(),
        ("split" | "rsplit", []) => text.split(is_space).filter(|part| !part.is_empty()).collect(),
        ("split" | "rsplit", [separator]) => text.split(separator).collect(),
        ("replace", [old, new]) => text.replace(old, new).into(),
        ("removeprefix", [prefix]) => text.strip_prefix(prefix).unwrap_or(text).into(),
        ("removesuffix", [suffix]) => text.strip_suffix(suffix).unwrap_or(text).into(),
        ("find", [part]) => text.find(part).map_or(-1, |at| text[..at].chars().count() as i64).into(),
        // Python finds the empty text between all characters, and so does this.
        ("count", [part]) => text.matches(part).count().into(),
        _ => return None,
    })
}

fn counted_text_method(text: &str, name: &str, args: &[&str], count: usize) -> Option<Value> {
    Some(match (name, args) {
        ("split", [separator]) => text.splitn(count.saturating_add(1), separator).collect(),
        ("rsplit", [separator]) => {
            let mut parts: Vec<&str> = text.rsplitn(count.saturating_add(1), separator).collect();
            parts.reverse();
            parts.into_iter().collect()
        }
        ("replace", [old, new]) => text.replacen(old, new, count).into(),
        _ => return None,
    })
}

/// Whether a text begins or ends with another, or with one of several.
fn affix(text: &str, front: bool, wanted: &Value) -> Result<bool, Error> {
    let is = |part: &Value| match part.as_str() {
        Some(part) => Ok(if front { text.starts_with(part) } else { text.ends_with(part) }),
        None => Err(refused("argument is no text")),
    };
    if wanted.as_str().is_some() {
        return is(wanted);
    }
    for part in wanted.try_iter()? {
        if is(&part)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect())
}

fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

/// The filter `trim`, which is `str.strip`.
pub(super) fn trim(text: &Value, set: Option<&str>) -> String {
    let text = text.to_string();
    match set {
        Some(set) => text.trim_matches(|c| set.contains(c)).to_owned(),
        None => text.trim_matches(is_space).to_owned(),
    }
}

/// Writes a value as `str` does.
pub(super) fn print(out: &mut Output<'_>, _: &State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.kind() {
        ValueKind::None => out.write_str("None")?,
        ValueKind::Bool => out.write_str(if value.is_true() { "True" } else { "False" })?,
        ValueKind::Undefined => {}
        ValueKind::String | ValueKind::Number => write!(out, "{value}")?,
        kind => return Err(refused(format!("a {kind} is printed"))),
    }
    Ok(())
}

/// The filter `tojson` as `transformers` defines it: `json.dumps` without ASCII escapes.
pub(super) fn tojson(value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    if options.get::<Option<bool>>("ensure_ascii")? == Some(true) {
        return Err(refused("tojson with ensure_ascii is not implemented"));
    }
    options.assert_all_used()?;
    let mut out = String::new();
    json(value, indent, 0, &mut out)?;
    Ok(out)
}

fn json(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(refused("tojson of a value that is nested too deeply"));
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool | ValueKind::Number => out.push_str(&value.to_string()),
        ValueKind::String => json_text(value.as_str().unwrap_or_default(), out),
        ValueKind::Seq | ValueKind::Iterable => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let write = |item: &Value, out: &mut String| json(item, indent, depth + 1, out);
            json_list(['[', ']'], &items, write, indent, depth, out)?;
        }
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            let write = |key: &Value, out: &mut String| {
                json_text(key.as_str().ok_or_else(|| refused("tojson of a key that is no text"))?, out);
                out.push_str(": ");
                json(&value.get_item(key)?, indent, depth + 1, out)
            };
            json_list(['{', '}'], &keys, write, indent, depth, out)?;
        }
        kind => return Err(refused(format!("tojson of {kind}"))),
    }
    Ok(())
}

fn json_list(
    [open, close]: [char; 2],
    items: &[Value],
    write: impl Fn(&Value, &mut String) -> Result<(), Error>,
    indent: Option<usize>,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    let line = |depth: usize, out: &mut String| {
        if let Some(indent) = indent.filter(|_| !items.is_empty()) {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent.min(MAX_DEPTH) * depth));
        }
    };
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push_str(if indent.is_some() { "," } else { ", " });
        }
        line(depth + 1, out);
        write(item, out)?;
    }
    line(depth, out);
    out.push(close);
    Ok(())
}

fn json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}
