//! The arguments of `#[flow(..)]` and `#[task(..)]`.

use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, ExprArray, ExprLit, Lit, LitStr, Result, Token, parenthesized};

use crate::function::Kind;
use crate::units;

const RETRIES_MAX: u32 = 10_000;
const LISTED_MAX: usize = 100;
const RULES_MAX: usize = 32;
const NAME_MAX: usize = 128;
const VERSION_MAX: usize = 64;
const TAGS_MAX: usize = 32;

const KNOWN: &[&str] = &[
    "name",
    "retries",
    "delay",
    "backoff",
    "factor",
    "delay_max",
    "jitter",
    "give_up_after",
    "when_exhausted",
    "rules",
    "timeout",
    "cpu",
    "memory",
    "allow_http",
    "secrets",
    "variables",
    "read_dirs",
    "write_dirs",
    "log_prints",
    "persist_result",
    "shared",
];
const KNOWN_OF_TASKS: &[&str] = &["version", "tags"];

/// What stands in the parentheses, checked.
pub(crate) struct Options {
    pub(crate) name: Option<String>,
    pub(crate) shared: bool,
    /// Statements that fill a `Declaration` called `declaration`.
    pub(crate) statements: TokenStream,
}

/// One argument, as written.
struct Argument {
    name: Ident,
    value: Value,
}

enum Value {
    Flag,
    Expression(Expr),
    List(TokenStream, Span),
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Value::Expression(units::without_group(input.parse()?))
        } else if input.peek(syn::token::Paren) {
            let content;
            let parentheses = parenthesized!(content in input);
            Value::List(content.parse()?, parentheses.span.join())
        } else {
            Value::Flag
        };
        Ok(Self { name, value })
    }
}

impl Options {
    pub(crate) fn parse(kind: Kind, tokens: TokenStream) -> Result<Self> {
        let arguments = Punctuated::<Argument, Token![,]>::parse_terminated.parse2(tokens)?;
        let mut collected = Collected::default();
        let mut seen: Vec<String> = Vec::new();
        for argument in arguments {
            let name = argument.name.to_string();
            if seen.contains(&name) {
                return Err(Error::new(argument.name.span(), format!("`{name}` is given twice")));
            }
            collected.add(kind, &name, argument)?;
            seen.push(name);
        }
        collected.finish()
    }
}

#[derive(Default)]
struct Collected {
    name: Option<String>,
    shared: bool,
    fields: TokenStream,
    retries: Option<u32>,
    /// Tokens of a `Delay`, and the name of the argument they come from.
    delay: Option<(TokenStream, Ident)>,
    backoff: Option<(u64, Ident)>,
    factor: Option<(u32, Ident)>,
    /// Statements about the rest of the policy.
    policy: TokenStream,
    waits: Option<Ident>,
}

impl Collected {
    fn add(&mut self, kind: Kind, name: &str, argument: Argument) -> Result<()> {
        let Argument { name: ident, value } = argument;
        match name {
            "name" => self.name = Some(item_name(&value.expression(&ident, "\"Nightly report\"")?)?),
            "shared" => {
                value.flag(&ident)?;
                self.shared = true;
            }
            "retries" => self.retries = Some(retries(&value.expression(&ident, "5")?)?),
            "delay" => {
                let delay = delay(&value.expression(&ident, "\"5m\"")?)?;
                self.delay = Some((delay, ident.clone()));
                self.waits = Some(ident);
            }
            "backoff" => {
                let initial = units::delay(&value.expression(&ident, "\"1s\"")?)?;
                self.backoff = Some((initial, ident.clone()));
                self.waits = Some(ident);
            }
            "factor" => {
                let factor = units::permille(&value.expression(&ident, "2.0")?, 1.0, 100.0)?;
                self.factor = Some((factor, ident));
            }
            "delay_max" => {
                let delay_max = units::delay(&value.expression(&ident, "\"1h\"")?)?;
                self.policy.extend(quote!(policy.set_delay_max(#delay_max);));
            }
            "jitter" => {
                let jitter = units::permille(&value.expression(&ident, "0.5")?, 0.0, 1.0)? as u16;
                self.policy.extend(quote!(policy.set_jitter(#jitter);));
            }
            "give_up_after" => {
                let limit = units::duration(&value.expression(&ident, "\"1d\"")?)?;
                self.policy.extend(quote!(policy.set_give_up_after(#limit);));
            }
            "when_exhausted" => self.when_exhausted(&value.expression(&ident, "\"park\"")?)?,
            "rules" => self.rules(value, &ident)?,
            "timeout" => {
                let timeout = units::duration(&value.expression(&ident, "\"30s\"")?)?;
                self.fields.extend(quote!(declaration.timeout_ms = Some(#timeout);));
            }
            "cpu" => {
                let cpu = units::duration(&value.expression(&ident, "\"2s\"")?)?;
                self.fields.extend(quote!(declaration.cpu_ms = Some(#cpu);));
            }
            "memory" => {
                let memory = units::size(&value.expression(&ident, "\"64MiB\"")?)?;
                self.fields.extend(quote!(declaration.memory_bytes = Some(#memory);));
            }
            "allow_http" => self.list(quote!(http), value, &ident, "[\"api.example.com\"]")?,
            "secrets" | "variables" | "read_dirs" | "write_dirs" => {
                self.list(quote!(#ident), value, &ident, "[\"a-name\"]")?;
            }
            "log_prints" | "persist_result" => {
                let value = value.bool(&ident)?;
                let value = if name == "log_prints" { quote!(#value) } else { quote!(Some(#value)) };
                self.fields.extend(quote!(declaration.#ident = #value;));
            }
            "version" if kind == Kind::Task => {
                let text = string(&value.expression(&ident, "\"2\"")?, "\"2\"")?;
                if text.value().len() > VERSION_MAX {
                    return Err(Error::new(text.span(), "a version is at most 64 bytes long"));
                }
                self.fields.extend(quote!(declaration.version = #text;));
            }
            "tags" if kind == Kind::Task => {
                let tags = strings(value, &ident, "[\"db\"]")?;
                if tags.len() > TAGS_MAX {
                    return Err(Error::new(ident.span(), "a task has at most 32 tags"));
                }
                self.fields.extend(quote!(declaration.tags = &[#(#tags),*];));
            }
            _ => return Err(unknown(kind, name, ident.span())),
        }
        Ok(())
    }

    fn list(&mut self, field: TokenStream, value: Value, name: &Ident, example: &str) -> Result<()> {
        let texts = strings(value, name, example)?;
        self.fields.extend(quote!(declaration.#field = &[#(#texts),*];));
        Ok(())
    }

    fn when_exhausted(&mut self, expression: &Expr) -> Result<()> {
        match units::text(expression) {
            Some((text, _)) if text == "fail" => {}
            Some((text, _)) if text == "park" => {
                self.policy.extend(quote!(policy = policy.park_when_exhausted();));
            }
            _ => return Err(Error::new_spanned(expression, "expected \"fail\" or \"park\"")),
        }
        Ok(())
    }

    fn rules(&mut self, value: Value, name: &Ident) -> Result<()> {
        let Value::List(tokens, span) = value else {
            let message = "expected rules in parentheses, such as `rules(fail(\"http.404\"))`";
            return Err(Error::new(name.span(), message));
        };
        let rules = Punctuated::<Rule, Token![,]>::parse_terminated.parse2(tokens)?;
        if rules.is_empty() || rules.len() > RULES_MAX {
            return Err(Error::new(span, "expected 1 to 32 rules, such as `fail(\"http.404\")`"));
        }
        for Rule { codes, action } in rules {
            self.policy.extend(quote!(policy = policy.rule([#(#codes),*], #action);));
        }
        Ok(())
    }

    fn finish(self) -> Result<Options> {
        let retries = match (self.retries, &self.waits) {
            (Some(retries), _) => retries,
            (None, Some(waits)) => {
                let message = format!("`{waits}` without `retries`; add `retries = 5`");
                return Err(Error::new(waits.span(), message));
            }
            (None, None) => 0,
        };
        let delay = match (self.delay, self.backoff, self.factor) {
            (Some(_), Some((_, backoff)), _) => {
                let message = "either `delay` or `backoff`, not both";
                return Err(Error::new(backoff.span(), message));
            }
            (_, None, Some((_, factor))) => {
                let message = "`factor` without `backoff`; add `backoff = \"1s\"`";
                return Err(Error::new(factor.span(), message));
            }
            (_, Some((initial, _)), factor) => {
                let factor = factor.map_or(2000, |(factor, _)| factor);
                Some(quote! {
                    ::retake::macro_support::Delay::Exponential(
                        ::retake::macro_support::Exponential {
                            initial: #initial,
                            factor_permille: #factor,
                        },
                    )
                })
            }
            (Some((delay, _)), None, None) => Some(delay),
            (None, None, None) => None,
        };
        let delay = delay.map(|delay| quote!(policy.set_delay(#delay);));
        let (fields, policy) = (self.fields, self.policy);
        let statements = quote! {
            #fields
            let mut policy = ::retake::Policy::retries(#retries);
            #delay
            #policy
            declaration.policy = policy;
        };
        Ok(Options { name: self.name, shared: self.shared, statements })
    }
}

impl Value {
    fn expression(self, name: &Ident, example: &str) -> Result<Expr> {
        match self {
            Value::Expression(expression) => Ok(expression),
            Value::Flag | Value::List(..) => {
                let message = format!("`{name}` needs a value: `{name} = {example}`");
                Err(Error::new(name.span(), message))
            }
        }
    }

    fn flag(self, name: &Ident) -> Result<()> {
        match self {
            Value::Flag => Ok(()),
            _ => Err(Error::new(name.span(), format!("`{name}` takes no value: `{name}`"))),
        }
    }

    fn bool(self, name: &Ident) -> Result<bool> {
        match self {
            Value::Flag => Ok(true),
            Value::Expression(Expr::Lit(ExprLit { lit: Lit::Bool(value), .. })) => Ok(value.value),
            _ => {
                let message = format!("expected `{name}`, or `{name} = false`");
                Err(Error::new(name.span(), message))
            }
        }
    }
}

/// One of `retry(..)`, `fail(..)` and `park(..)`.
struct Rule {
    codes: Vec<LitStr>,
    action: TokenStream,
}

impl Parse for Rule {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        let example = "a rule is `retry(\"http.429\", retries = 10, delay = \"1m\")`, \
                       `fail(\"http.404\")` or `park(\"quota.*\")`";
        let wrong = || Error::new(name.span(), example);
        if !input.peek(syn::token::Paren) {
            return Err(wrong());
        }
        let content;
        parenthesized!(content in input);
        let mut codes = Vec::new();
        let mut own: Vec<Argument> = Vec::new();
        while !content.is_empty() {
            if content.peek(LitStr) {
                codes.push(code(content.parse()?)?);
            } else {
                own.push(content.parse()?);
            }
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        if codes.is_empty() {
            return Err(wrong());
        }
        let action = match name.to_string().as_str() {
            "retry" => retry_action(own, &name)?,
            "fail" if own.is_empty() => quote!(::retake::macro_support::Action::Fail),
            "park" if own.is_empty() => quote!(::retake::macro_support::Action::Park),
            _ => return Err(wrong()),
        };
        Ok(Self { codes, action })
    }
}

fn retry_action(own: Vec<Argument>, rule: &Ident) -> Result<TokenStream> {
    if own.is_empty() {
        return Ok(quote!(::retake::macro_support::Action::Retry(None)));
    }
    let (mut count, mut wait) = (None, None);
    for Argument { name, value } in own {
        match name.to_string().as_str() {
            "retries" => count = Some(retries(&value.expression(&name, "10")?)?),
            "delay" => wait = Some(delay(&value.expression(&name, "\"1m\"")?)?),
            _ => {
                let message = "a `retry` rule knows `retries` and `delay` only";
                return Err(Error::new(name.span(), message));
            }
        }
    }
    let Some(count) = count else {
        let message = "a `retry` rule with a delay of its own needs `retries`, such as `retries = 10`";
        return Err(Error::new(rule.span(), message));
    };
    let wait = wait.unwrap_or_else(|| quote!(::retake::macro_support::Delay::Fixed(0)));
    Ok(quote! {
        ::retake::macro_support::Action::Retry(Some(::retake::macro_support::OwnRetries {
            retries: #count,
            delay: #wait,
        }))
    })
}

fn code(text: LitStr) -> Result<LitStr> {
    let value = text.value();
    let prefix = value.strip_suffix(".*").unwrap_or(&value);
    if prefix.is_empty() || prefix.contains('*') || value.len() > 128 {
        let message = "expected a code such as \"http.404\", or a prefix such as \"http.*\"";
        return Err(Error::new(text.span(), message));
    }
    Ok(text)
}

fn retries(expression: &Expr) -> Result<u32> {
    if let Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) = expression
        && let Ok(number) = number.base10_parse::<u32>()
        && number <= RETRIES_MAX
    {
        return Ok(number);
    }
    Err(Error::new_spanned(expression, "expected a whole number from 0 to 10000"))
}

/// Returns tokens of a `Delay`: fixed, or listed.
fn delay(expression: &Expr) -> Result<TokenStream> {
    let Expr::Array(ExprArray { elems, .. }) = expression else {
        let milliseconds = units::delay(expression)?;
        return Ok(quote!(::retake::macro_support::Delay::Fixed(#milliseconds)));
    };
    if elems.is_empty() || elems.len() > LISTED_MAX {
        let message = "expected 1 to 100 delays, such as `[\"1s\", \"10s\"]`";
        return Err(Error::new_spanned(expression, message));
    }
    let delays = elems.iter().map(units::delay).collect::<Result<Vec<_>>>()?;
    Ok(quote!(::retake::macro_support::Delay::Listed(::std::vec![#(#delays),*])))
}

fn string(expression: &Expr, example: &str) -> Result<LitStr> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Ok(text.clone()),
        _ => {
            let message = format!("expected a text in quotes, such as {example}");
            Err(Error::new_spanned(expression, message))
        }
    }
}

fn strings(value: Value, name: &Ident, example: &str) -> Result<Vec<LitStr>> {
    if let Value::Expression(Expr::Array(ExprArray { elems, .. })) = &value {
        return elems.iter().map(|text| string(text, example.trim_matches(['[', ']']))).collect();
    }
    Err(Error::new(name.span(), format!("expected a list: `{name} = {example}`")))
}

/// Returns the name of a flow or a task, held to what a host accepts.
fn item_name(expression: &Expr) -> Result<String> {
    let text = string(expression, "\"Nightly report\"")?;
    let name = text.value();
    let length = name.chars().count();
    if length == 0 || length > NAME_MAX || name.chars().any(|c| c == '/' || c.is_control()) {
        let message = "expected a name of 1 to 128 printable characters without `/`";
        return Err(Error::new(text.span(), message));
    }
    Ok(name)
}

fn unknown(kind: Kind, name: &str, span: Span) -> Error {
    if KNOWN_OF_TASKS.contains(&name) {
        return Error::new(span, format!("only a task has `{name}`; this is a flow"));
    }
    let mut known = KNOWN.to_vec();
    if kind == Kind::Task {
        known.extend(KNOWN_OF_TASKS);
    }
    let near = known.iter().min_by_key(|known| distance(known, name));
    let hint = match near {
        Some(near) if distance(near, name) <= name.len().div_ceil(2) => {
            format!(", did you mean `{near}`?")
        }
        _ => ";".to_owned(),
    };
    let known = known.join(", ");
    Error::new(span, format!("unknown argument `{name}`{hint} known are: {known}"))
}

/// Returns how many letters have to change to get from one word to the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(a != *b)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[right.len()]
}
