//! Chat templates: Jinja from the model file.

use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context, value::Value as Jinja};

use crate::{ModelError, TemplateError, gguf::Header, tokenizer::Tokenizer};

/// Instructions a template may execute: far more than real ones need, and soon over for one that loops.
const FUEL: u64 = 5_000_000;
const NAME: &str = "chat";

/// One message of a chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant`, or what else the template knows.
    pub role: String,
    /// The text.
    pub content: String,
}

/// A model's chat template. Clones share it.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    environment: Arc<Environment<'static>>,
    bos: String,
    eos: String,
}

impl ChatTemplate {
    /// The file's `tokenizer.chat_template`, if it has one. One that does not parse makes the file a bad one.
    pub(crate) fn from_header(header: &Header, tokenizer: &Tokenizer) -> Result<Option<Self>, ModelError> {
        let key = "tokenizer.chat_template";
        let Some(source) = header.text(key)? else { return Ok(None) };
        let text = |id: Option<u32>| id.and_then(|id| tokenizer.token_text(id)).unwrap_or_default();
        Self::new(source, text(tokenizer.bos()), text(tokenizer.eos()))
            .map(Some)
            .map_err(|e| ModelError::metadata(key, e.to_string()))
    }

    /// Parses a template; `bos` and `eos` are what it sees as `bos_token` and `eos_token`.
    pub fn new(source: &str, bos: &str, eos: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_unknown_method_callback(|_, value, method, args| text_method(value, method, args));
        environment.add_function("raise_exception", |message: String| -> Result<Jinja, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment.add_template_owned(NAME, source.to_owned()).map_err(|e| render_error(&e))?;
        Ok(Self { environment: Arc::new(environment), bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The prompt text of a chat; with `add_generation_prompt` it ends where the assistant's answer begins.
    pub fn render(
        &self,
        messages: &[ChatMessage],
        add_generation_prompt: bool,
    ) -> Result<String, TemplateError> {
        let messages: Vec<Jinja> =
            messages.iter().map(|m| context! { role => m.role, content => m.content }).collect();
        let values = context! {
            messages,
            add_generation_prompt,
            bos_token => self.bos,
            eos_token => self.eos,
        };
        let template = self.environment.get_template(NAME).map_err(|e| render_error(&e))?;
        template.render(values).map_err(|e| render_error(&e))
    }
}

fn render_error(error: &Error) -> TemplateError {
    TemplateError::Render(error.to_string())
}

/// The methods of Python's `str` that templates use.
fn text_method(value: &Jinja, method: &str, args: &[Jinja]) -> Result<Jinja, Error> {
    let unknown = || Error::new(ErrorKind::UnknownMethod, format!("no method {method}"));
    let text = value.as_str().ok_or_else(unknown)?;
    let args: Option<Vec<&str>> = args.iter().map(|a| a.as_str()).collect();
    let args = args.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "argument is no text"))?;
    Ok(match (method, args.as_slice()) {
        ("strip", []) => text.trim().into(),
        ("lstrip", []) => text.trim_start().into(),
        ("rstrip", []) => text.trim_end().into(),
        ("strip", [set]) => text.trim_matches(|c| set.contains(c)).into(),
        ("lstrip", [set]) => text.trim_start_matches(|c| set.contains(c)).into(),
        ("rstrip", [set]) => text.trim_end_matches(|c| set.contains(c)).into(),
        ("upper", []) => text.to_uppercase().into(),
        ("lower", []) => text.to_lowercase().into(),
        ("startswith", [prefix]) => text.starts_with(prefix).into(),
        ("endswith", [suffix]) => text.ends_with(suffix).into(),
        ("split", [separator]) if !separator.is_empty() => text.split(separator).map(Jinja::from).collect(),
        _ => return Err(unknown()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: &str) -> ChatMessage {
        ChatMessage { role: role.into(), content: content.into() }
    }

    #[test]
    fn renders_and_refuses() {
        let source = "{{ bos_token }}{% for m in messages %}\
            {% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}\
            [{{ m.role }}]{{ m['content'].strip() }}{% endfor %}\
            {% if add_generation_prompt %}[assistant]{% endif %}";
        let template = ChatTemplate::new(source, "<s>", "</s>").unwrap();
        assert_eq!(template.render(&[message("user", " hi ")], true).unwrap(), "<s>[user]hi[assistant]");
        assert_eq!(template.render(&[], false).unwrap(), "<s>");
        let error = template.render(&[message("tool", "")], true).unwrap_err();
        assert!(error.to_string().contains("no tools"), "{error}");
    }

    #[test]
    fn hostile_templates_end_in_errors() {
        assert!(ChatTemplate::new("{% if %}", "", "").is_err());
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(ChatTemplate::new(loops, "", "").unwrap().render(&[], true).is_err());
        assert!(ChatTemplate::new("{{ 'a'.frobnicate() }}", "", "").unwrap().render(&[], true).is_err());
    }
}
