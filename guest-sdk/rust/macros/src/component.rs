//! What `component!` writes: the exports.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, LitStr, Path, Result, Token, bracketed};

const EXAMPLE: &str = "write `retake::component!(flows: [my_flow], tasks: [my_task]);`";

#[derive(Default)]
struct Component {
    flows: Vec<Path>,
    tasks: Vec<Path>,
    name: Option<LitStr>,
    version: Option<LitStr>,
    description: Option<LitStr>,
}

impl Parse for Component {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut component = Self::default();
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            let name = input.call(Ident::parse_any)?;
            let word = name.to_string();
            if seen.contains(&word) {
                return Err(Error::new(name.span(), format!("`{word}` is given twice")));
            }
            if !input.peek(Token![:]) {
                return Err(Error::new(name.span(), format!("expected `{word}: ..`; {EXAMPLE}")));
            }
            input.parse::<Token![:]>()?;
            match word.as_str() {
                "flows" => component.flows = paths(input)?,
                "tasks" => component.tasks = paths(input)?,
                "name" => component.name = Some(input.parse()?),
                "version" => component.version = Some(input.parse()?),
                "description" => component.description = Some(input.parse()?),
                _ => {
                    let message = format!(
                        "unknown argument `{word}`; \
                         known are: flows, tasks, name, version, description"
                    );
                    return Err(Error::new(name.span(), message));
                }
            }
            seen.push(word);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        if component.flows.is_empty() {
            let message = format!("a component has at least one flow; {EXAMPLE}");
            return Err(Error::new(input.span(), message));
        }
        Ok(component)
    }
}

fn paths(input: ParseStream<'_>) -> Result<Vec<Path>> {
    if !input.peek(syn::token::Bracket) {
        return Err(Error::new(input.span(), format!("expected a list in brackets; {EXAMPLE}")));
    }
    let content;
    bracketed!(content in input);
    let paths = Punctuated::<Path, Token![,]>::parse_terminated_with(&content, Path::parse_mod_style)?;
    Ok(paths.into_iter().collect())
}

pub(crate) fn expand(input: TokenStream) -> Result<TokenStream> {
    let Component { flows, tasks, name, version, description } = syn::parse2(input)?;
    let name = or_crate(name, "CARGO_PKG_NAME");
    let version = or_crate(version, "CARGO_PKG_VERSION");
    let description = or_crate(description, "CARGO_PKG_DESCRIPTION");
    // What comes from another crate was listed there, by `shared`.
    let own = flows.iter().chain(&tasks).filter(|path| path.leading_colon.is_none());
    Ok(quote! {
        const _: () = {
            use ::retake::macro_support::{Runnable, Run, WireFailure, ComponentInfo};

            #(impl ::retake::macro_support::Listed for #own {})*

            const fn is_flow<T: ::retake::macro_support::Flow>() {}
            const fn is_task<T: ::retake::macro_support::Task>() {}
            #(const _: () = is_flow::<#flows>();)*
            #(const _: () = is_task::<#tasks>();)*

            const _: () = ::core::assert!(
                ::retake::macro_support::distinct(&[#(<#flows as Runnable>::NAME),*]),
                "two flows have the same name; give one of them `name = \"..\"`",
            );
            const _: () = ::core::assert!(
                ::retake::macro_support::distinct(&[#(<#tasks as Runnable>::NAME),*]),
                "two tasks have the same name; give one of them `name = \"..\"`",
            );

            struct Component;

            impl ::retake::macro_support::Guest for Component {
                fn describe() -> ComponentInfo {
                    ::retake::macro_support::describe(
                        #name,
                        #version,
                        #description,
                        &[#(<#flows as Runnable>::declare),*],
                        &[#(<#tasks as Runnable>::declare),*],
                    )
                }

                fn run_flow(
                    flow: ::std::string::String,
                    parameters: ::std::string::String,
                ) -> ::core::result::Result<::std::string::String, WireFailure> {
                    const FLOWS: &[(&str, Run)] =
                        &[#((<#flows as Runnable>::NAME, <#flows as Runnable>::run)),*];
                    ::retake::macro_support::run(FLOWS, &flow, &parameters)
                }

                fn run_task(
                    task: ::std::string::String,
                    input: ::std::string::String,
                ) -> ::core::result::Result<::std::string::String, WireFailure> {
                    const TASKS: &[(&str, Run)] =
                        &[#((<#tasks as Runnable>::NAME, <#tasks as Runnable>::run)),*];
                    ::retake::macro_support::run(TASKS, &task, &input)
                }
            }

            ::retake::bindings::export_component!(Component with_types_in ::retake::bindings);
        };
    })
}

/// Returns what was given, or what cargo knows of the crate.
fn or_crate(given: Option<LitStr>, variable: &str) -> TokenStream {
    match given {
        Some(given) => quote!(#given),
        None => quote!(::core::env!(#variable)),
    }
}
