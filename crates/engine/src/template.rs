//! Chat templates: Jinja from the model file, rendered as `transformers` renders it.
//!
//! A template knows the messages, the begin and end token, and whether an answer is to begin; tools and documents are
//! none. It knows no clock: `strftime_now` is not defined, so that a chat has one prompt on every day. Templates that
//! ask whether it is take a date of their own; one that does not ask fails to render.
//!
//! Steps and nesting are bounded, memory is not: a template that doubles a text again and again can exhaust it, and
//! compiling already multiplies the constants out. So loading a model only parses its template. It is compiled when a
//! first chat is rendered, which those who run the model or check it never do.

mod python;

use std::sync::{Arc, OnceLock};

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, context,
    machinery::{WhitespaceConfig, parse},
    value::Value as Jinja,
};

use crate::{ModelError, TemplateError, gguf::Header, tokenizer::Tokenizer};

/// Instructions a template may execute: far more than real ones need, and soon over for one that loops.
const FUEL: u64 = 1_000_000;
/// Bytes of source. Real templates have up to 30,000.
const MAX_SOURCE: usize = 1 << 16;
/// Parser, values and their destructors recurse as deep as source and fuel let them; what is not used costs nothing.
const STACK: usize = 1 << 28;
const NAME: &str = "chat";
const WHITESPACE: WhitespaceConfig =
    WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };

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
    source: Arc<str>,
    /// What the source compiles to, from the first rendering on.
    environment: Arc<OnceLock<Result<Environment<'static>, TemplateError>>>,
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
        if source.len() > MAX_SOURCE {
            let reason = format!("{} bytes are over the limit of {MAX_SOURCE}", source.len());
            return Err(TemplateError::Render(reason));
        }
        on_deep_stack(|| {
            parse(source, NAME, Default::default(), WHITESPACE).map(drop).map_err(|e| render_error(&e))
        })?;
        Ok(Self { source: source.into(), environment: Arc::default(), bos: bos.into(), eos: eos.into() })
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
            tools => (),
            documents => (),
            bos_token => self.bos,
            eos_token => self.eos,
        };
        on_deep_stack(|| {
            let environment = self.environment.get_or_init(|| environment(&self.source));
            let environment = environment.as_ref().map_err(Clone::clone)?;
            let template = environment.get_template(NAME).map_err(|e| render_error(&e))?;
            template.render(values).map_err(|e| render_error(&e))
        })
    }
}

fn environment(source: &str) -> Result<Environment<'static>, TemplateError> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(WHITESPACE.trim_blocks);
    environment.set_lstrip_blocks(WHITESPACE.lstrip_blocks);
    environment.set_keep_trailing_newline(WHITESPACE.keep_trailing_newline);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(python::method);
    environment.set_formatter(python::print);
    environment.add_filter("trim", python::trim);
    environment.add_filter("tojson", python::tojson);
    environment.add_function("raise_exception", |message: String| -> Result<Jinja, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_template_owned(NAME, source.to_owned()).map_err(|e| render_error(&e))?;
    Ok(environment)
}

/// Runs a computation on a thread of its own, whose stack no template can exhaust.
fn on_deep_stack<T: Send>(
    work: impl FnOnce() -> Result<T, TemplateError> + Send,
) -> Result<T, TemplateError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("template".into()).stack_size(STACK);
        let thread = thread.spawn_scoped(scope, work).map_err(|e| TemplateError::Render(e.to_string()))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn render_error(error: &Error) -> TemplateError {
    TemplateError::Render(error.to_string())
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

    #[test]
    fn depth_exhausts_no_stack() {
        let deep = |open: &str, middle: &str, close: &str| {
            let times = (MAX_SOURCE - 64) / (open.len() + close.len());
            let source = format!("{}{middle}{}", open.repeat(times), close.repeat(times));
            for source in [format!("{{{{ {source} }}}}"), source] {
                // Parsed or refused, rendered or not: it comes back.
                if let Ok(template) = ChatTemplate::new(&source, "", "") {
                    let _ = template.render(&[], true);
                }
            }
        };
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("not ", ""),
            ("-", ""),
            ("1+", ""),
            ("", ".b"),
            ("", "|trim"),
            ("", "[0]"),
            ("", "(0)"),
            ("{% if a %}", "{% endif %}"),
            ("", "{% if a %}{% else %}"),
            ("1 if a else ", ""),
            ("1 and ", ""),
            ("1~", ""),
            ("{'a':", "}"),
            ("", " is a"),
        ] {
            deep(open, "1", close);
        }
        let elses = format!("{{% if a %}}{}{{% endif %}}", "{% elif b %}".repeat(5_000));
        assert!(ChatTemplate::new(&elses, "", "").unwrap().render(&[], true).is_ok());
        // The deepest value that the fuel allows, then one that is used.
        let nested = |times: u32, end: &str| {
            let inner = "{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}";
            let loops = format!("{{% for i in range({times}) %}}{inner}{{% endfor %}}");
            let source = format!("{{% set ns = namespace(x=[]) %}}{loops}{end}");
            ChatTemplate::new(&source, "", "").unwrap().render(&[], true)
        };
        assert!(nested(50, "").unwrap_err().to_string().contains("fuel"));
        for end in ["{{ ns.x | string | length }}", "{{ ns.x == ns.x }}"] {
            let _ = nested(1, end);
        }
        assert!(ChatTemplate::new(&" ".repeat(MAX_SOURCE + 1), "", "").is_err());
    }

    #[test]
    fn no_clock_and_no_deep_values() {
        let date = "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}2024{% endif %}";
        assert_eq!(ChatTemplate::new(date, "", "").unwrap().render(&[], true).unwrap(), "2024");
        let bare = ChatTemplate::new("{{ strftime_now('%Y') }}", "", "").unwrap().render(&[], true);
        assert!(bare.unwrap_err().to_string().contains("strftime_now"));
        let nested =
            "{% set ns = namespace(x=[]) %}{% for i in range(80) %}{% set ns.x = [ns.x] %}{% endfor %}";
        let deep = ChatTemplate::new(&format!("{nested}{{{{ ns.x | tojson }}}}"), "", "").unwrap();
        assert!(deep.render(&[], true).unwrap_err().to_string().contains("nested"));
    }
}
