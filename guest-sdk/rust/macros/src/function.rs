//! What `#[flow]` and `#[task]` make of a function.
//!
//! `fn fetch` becomes a function that asks the host, and a type of the same name for everything
//! that is written with `::`. A type and a function may share a name, and unlike a module a type
//! sees whatever the function sees, inside a function's body too.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Error, Expr, ExprLit, FnArg, ItemFn, Lit, Meta, Pat, Result, ReturnType, Type, parse_quote};

use crate::options::Options;
use crate::units;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Flow,
    Task,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Flow => "flow",
            Kind::Task => "task",
        }
    }
}

struct Argument {
    name: Ident,
    /// Its name in JSON: without `r#`.
    key: String,
    kind: Type,
    description: String,
    default: Option<Expr>,
}

pub(crate) fn expand(kind: Kind, attribute: TokenStream, item: TokenStream) -> Result<TokenStream> {
    let options = Options::parse(kind, attribute)?;
    let mut function: ItemFn = syn::parse2(item).map_err(|error| {
        let word = kind.word();
        Error::new(error.span(), format!("`#[{word}]` belongs on a function: {error}"))
    })?;
    check_signature(kind, &function)?;
    let arguments = take_arguments(kind, &mut function)?;
    Ok(Parts::new(kind, options, function, arguments).write())
}

fn check_signature(kind: Kind, function: &ItemFn) -> Result<()> {
    let word = kind.word();
    let signature = &function.sig;
    let refuse = |span, why: &str| Err(Error::new(span, why.replace("{}", word)));
    if let Some(token) = signature.asyncness {
        return refuse(
            token.span(),
            "a {} is not `async`: remove the word; for work side by side, use `submit` and `map`",
        );
    }
    if let Some(token) = signature.unsafety {
        return refuse(token.span(), "a {} is not `unsafe`: remove the word");
    }
    if let Some(token) = signature.constness {
        return refuse(token.span(), "a {} is not `const`: remove the word");
    }
    if let Some(abi) = &signature.abi {
        return refuse(abi.span(), "a {} is an ordinary function: remove the `extern`");
    }
    if let Some(variadic) = &signature.variadic {
        return refuse(variadic.span(), "a {} names all its arguments");
    }
    if !signature.generics.params.is_empty() {
        return refuse(
            signature.generics.span(),
            "a {} is not generic: its schema must be known, so write the type that it is used with",
        );
    }
    Ok(())
}

/// Takes the arguments, and removes from them what only this macro understands.
fn take_arguments(kind: Kind, function: &mut ItemFn) -> Result<Vec<Argument>> {
    let word = kind.word();
    let mut arguments = Vec::new();
    for argument in &mut function.sig.inputs {
        let typed = match argument {
            FnArg::Typed(typed) => typed,
            FnArg::Receiver(receiver) => {
                let message = format!(
                    "a {word} is a free function without `self`: \
                     it runs in a sandbox that shares nothing with its caller"
                );
                return Err(Error::new_spanned(receiver, message));
            }
        };
        let name = match &*typed.pat {
            Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => pattern.ident.clone(),
            pattern => {
                let message = format!(
                    "an argument of a {word} has a plain name, as it becomes a name in JSON: \
                     write `point: Point` and take it apart in the body"
                );
                return Err(Error::new_spanned(pattern, message));
            }
        };
        check_argument_type(word, &name, &typed.ty)?;
        let description = take_docs(&mut typed.attrs);
        let default = take_default(&mut typed.attrs)?;
        let key = name.unraw().to_string();
        arguments.push(Argument { name, key, kind: (*typed.ty).clone(), description, default });
    }
    Ok(arguments)
}

fn check_argument_type(word: &str, name: &Ident, kind: &Type) -> Result<()> {
    match kind {
        Type::Reference(reference) => {
            let owned = match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
                Type::Slice(slice) => {
                    let element = &slice.elem;
                    format!("Vec<{}>", quote!(#element))
                }
                other => quote!(#other).to_string().replace(' ', ""),
            };
            let message = format!(
                "an argument of a {word} is owned, as it comes from another sandbox: \
                 write `{name}: {owned}`"
            );
            Err(Error::new_spanned(kind, message))
        }
        Type::ImplTrait(_) => {
            let message = format!(
                "an argument of a {word} has one type, as its schema must be known: \
                 write the type in place of `impl ..`"
            );
            Err(Error::new_spanned(kind, message))
        }
        _ => Ok(()),
    }
}

/// Takes the doc comments out of the attributes and returns their text.
fn take_docs(attributes: &mut Vec<Attribute>) -> String {
    let text = docs(attributes);
    attributes.retain(|attribute| !attribute.path().is_ident("doc"));
    text
}

/// Returns the text of the doc comments.
fn docs(attributes: &[Attribute]) -> String {
    let mut lines = Vec::new();
    for attribute in attributes {
        if let Meta::NameValue(meta) = &attribute.meta
            && meta.path.is_ident("doc")
            && let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &meta.value
        {
            let text = text.value();
            lines.extend(text.split('\n').map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned()));
        }
    }
    lines.join("\n").trim().to_owned()
}

fn take_default(attributes: &mut Vec<Attribute>) -> Result<Option<Expr>> {
    let mut default = None;
    for attribute in attributes.iter() {
        if !attribute.path().is_ident("default") {
            continue;
        }
        default = Some(match &attribute.meta {
            Meta::Path(_) => parse_quote!(::core::default::Default::default()),
            Meta::List(list) => match units::without_group(syn::parse2(list.tokens.clone())?) {
                // A literal text for a `String`, which is what it nearly always is.
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => {
                    parse_quote!(::core::convert::Into::into(#text))
                }
                expression => expression,
            },
            Meta::NameValue(_) => {
                let message = "write `#[default(3)]`, or `#[default]` for the type's own default";
                return Err(Error::new_spanned(attribute, message));
            }
        });
    }
    attributes.retain(|attribute| !attribute.path().is_ident("default"));
    Ok(default)
}

fn last_segment_is(kind: &Type, name: &str) -> bool {
    matches!(kind, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == name))
}

/// Everything that the written code is made of.
struct Parts {
    kind: Kind,
    options: Options,
    function: ItemFn,
    arguments: Vec<Argument>,
    description: String,
    /// What callers see: the type inside of a `Result`, or the type itself.
    value: TokenStream,
    fallible: bool,
}

impl Parts {
    fn new(kind: Kind, options: Options, function: ItemFn, arguments: Vec<Argument>) -> Self {
        let description = docs(&function.attrs);
        let (value, fallible) = match &function.sig.output {
            ReturnType::Default => (quote!(()), false),
            ReturnType::Type(_, kind) if last_segment_is(kind, "Result") => {
                (quote!(<#kind as ::retake::macro_support::Fallible>::Value), true)
            }
            ReturnType::Type(_, kind) => (quote!(#kind), false),
        };
        Self { kind, options, function, arguments, description, value, fallible }
    }

    fn name(&self) -> String {
        let ident = self.function.sig.ident.unraw().to_string();
        self.options.name.clone().unwrap_or(ident)
    }

    fn kind_path(&self) -> TokenStream {
        match self.kind {
            Kind::Flow => quote!(::retake::macro_support::Kind::Flow),
            Kind::Task => quote!(::retake::macro_support::Kind::Task),
        }
    }

    fn write(&self) -> TokenStream {
        let (wrapper, item) = (self.write_wrapper(), self.write_type());
        let (runnable, listed) = (self.write_runnable(), self.write_listed());
        quote! { #wrapper #item const _: () = { #runnable #listed }; }
    }

    /// Writes the function that asks the host.
    fn write_wrapper(&self) -> TokenStream {
        let ItemFn { attrs, vis, sig, .. } = &self.function;
        let (ident, value) = (&sig.ident, &self.value);
        let (names, kinds) = self.names_and_types();
        quote! {
            #(#attrs)*
            #[allow(dead_code, clippy::too_many_arguments, reason = "a flow is called by the host")]
            #vis fn #ident(#(#names: #kinds),*) -> ::retake::Result<#value> {
                #ident::submit(#(#names),*).outcome()
            }
        }
    }

    fn names_and_types(&self) -> (Vec<&Ident>, Vec<&Type>) {
        self.arguments.iter().map(|argument| (&argument.name, &argument.kind)).unzip()
    }

    /// Writes the types behind `fetch::submit` and `fetch::with_key("..").call`.
    fn write_type(&self) -> TokenStream {
        let ItemFn { vis, sig, .. } = &self.function;
        let ident = &sig.ident;
        let with = format_ident!("__retake_with_options_{}", ident.unraw());
        let (names, kinds) = self.names_and_types();
        let value = &self.value;
        let name = self.name();
        let keys = self.arguments.iter().map(|argument| &argument.key);
        let (map, map_with) = self.write_map();
        let inline = self.write_inline();
        let word = self.kind.word();
        let about = format!("What can be done with the {word} `{name}`.");
        quote! {
            #[doc = #about]
            #[allow(non_camel_case_types, dead_code, reason = "shares the function's name")]
            #vis struct #ident {}

            #[allow(
                dead_code, unreachable_pub, clippy::too_many_arguments,
                reason = "nobody uses all of them"
            )]
            impl #ident {
                /// Asks for it and returns at once; it runs beside the flow.
                #vis fn submit(#(#names: #kinds),*) -> ::retake::Call<#value> {
                    #with(::core::default::Default::default()).submit(#(#names),*)
                }
                #map
                #inline
                /// Stands for the input in the call's identity.
                #vis fn with_key(key: impl ::core::convert::Into<::std::string::String>) -> #with {
                    #with(::retake::Options::default().with_key(key))
                }
                /// Shows people this name.
                #vis fn named(name: impl ::core::convert::Into<::std::string::String>) -> #with {
                    #with(::retake::Options::default().named(name))
                }
                /// Replaces the policy, for one call.
                #vis fn retry(policy: ::retake::Policy) -> #with {
                    #with(::retake::Options::default().retry(policy))
                }
            }

            #[doc(hidden)]
            #[derive(::core::clone::Clone)]
            #[allow(non_camel_case_types, dead_code, reason = "nobody writes its name")]
            #vis struct #with(::retake::Options);

            #[allow(
                dead_code, unreachable_pub, clippy::too_many_arguments,
                reason = "nobody uses all of them"
            )]
            impl #with {
                /// Asks for it and waits for the outcome.
                #vis fn call(self, #(#names: #kinds),*) -> ::retake::Result<#value> {
                    self.submit(#(#names),*).outcome()
                }
                /// Asks for it and returns at once; it runs beside the flow.
                #vis fn submit(self, #(#names: #kinds),*) -> ::retake::Call<#value> {
                    const { ::retake::macro_support::listed::<#ident>() };
                    #[allow(unused_mut, reason = "there may be no argument")]
                    let mut input = ::retake::macro_support::Object::new();
                    #(input.field(#keys, &#names);)*
                    ::retake::macro_support::submit::<#ident, _>(input, self.0)
                }
                #map_with
                /// Stands for the input in the call's identity.
                #[must_use]
                #vis fn with_key(
                    self,
                    key: impl ::core::convert::Into<::std::string::String>,
                ) -> Self {
                    Self(self.0.with_key(key))
                }
                /// Shows people this name.
                #[must_use]
                #vis fn named(
                    self,
                    name: impl ::core::convert::Into<::std::string::String>,
                ) -> Self {
                    Self(self.0.named(name))
                }
                /// Replaces the policy, for one call.
                #[must_use]
                #vis fn retry(self, policy: ::retake::Policy) -> Self {
                    Self(self.0.retry(policy))
                }
            }
        }
    }

    /// Writes `map`, for the type and for its options; without arguments there is none.
    fn write_map(&self) -> (TokenStream, TokenStream) {
        let ItemFn { vis, sig, .. } = &self.function;
        let with = format_ident!("__retake_with_options_{}", sig.ident.unraw());
        let (names, kinds) = self.names_and_types();
        let value = &self.value;
        let (item, pattern) = match (&names[..], &kinds[..]) {
            ([], _) => return (TokenStream::new(), TokenStream::new()),
            ([name], [kind]) => (quote!(#kind), quote!(#name)),
            _ => (quote!((#(#kinds),*)), quote!((#(#names),*))),
        };
        let items = quote!(items: impl ::core::iter::IntoIterator<Item = #item>);
        let result = quote!(::retake::Result<::std::vec::Vec<#value>>);
        let map = quote! {
            /// Asks for one for each item, then waits for all of them.
            #vis fn map(#items) -> #result {
                #with(::core::default::Default::default()).map(items)
            }
        };
        let map_with = quote! {
            /// Asks for one for each item, then waits for all of them.
            #vis fn map(self, #items) -> #result {
                let mut calls = ::std::vec::Vec::new();
                for #pattern in items {
                    calls.push(::core::clone::Clone::clone(&self).submit(#(#names),*));
                }
                calls.iter().map(::retake::Call::outcome).collect()
            }
        };
        (map, map_with)
    }

    /// Writes the function as its author did, under another name.
    fn write_inline(&self) -> TokenStream {
        let ItemFn { attrs, vis, sig, block } = &self.function;
        let attrs = attrs.iter().filter(|attribute| !attribute.path().is_ident("doc"));
        let (inputs, output) = (&sig.inputs, &sig.output);
        quote! {
            /// Runs the body right here: without the host, a sandbox or retries.
            #(#attrs)*
            #vis fn inline(#inputs) #output #block
        }
    }

    /// Writes what the host's calls end in.
    fn write_runnable(&self) -> TokenStream {
        let ident = &self.function.sig.ident;
        let (name, description, value) = (self.name(), &self.description, &self.value);
        let kind = self.kind_path();
        let statements = &self.options.statements;
        let declared = self.arguments.iter().map(declare_argument);
        let taken = self.arguments.iter().map(take_argument);
        let (names, _) = self.names_and_types();
        let outcome =
            if self.fallible { quote!(#ident::inline(#(#names),*)?) } else { quote!(#ident::inline(#(#names),*)) };
        let outcome = match &self.function.sig.output {
            ReturnType::Default => quote!({ #outcome; }),
            ReturnType::Type(..) => outcome,
        };
        let marker = match self.kind {
            Kind::Flow => quote!(Flow),
            Kind::Task => quote!(Task),
        };
        quote! {
            impl ::retake::macro_support::#marker for #ident {}

            impl ::retake::macro_support::Runnable for #ident {
                const KIND: ::retake::macro_support::Kind = #kind;
                const NAME: &'static str = #name;

                fn declare() -> ::retake::macro_support::Declaration {
                    let mut declaration =
                        ::retake::macro_support::Declaration::new(#name, #description);
                    #statements
                    #(#declared)*
                    declaration.returns::<#value>();
                    declaration
                }

                fn run(input: &str) -> ::retake::Result<::std::string::String> {
                    let mut arguments = ::retake::macro_support::Arguments::parse(input)?;
                    #(#taken)*
                    ::core::mem::drop(arguments);
                    let value: #value = #outcome;
                    ::retake::macro_support::encode::<Self, _>(&value)
                }
            }
        }
    }

    /// Writes the check that a component lists it; in a library, the word that one will.
    fn write_listed(&self) -> TokenStream {
        let ident = &self.function.sig.ident;
        if self.options.shared {
            return quote!(impl ::retake::macro_support::Listed for #ident {});
        }
        let span = ident.span();
        quote_spanned!(span=> const _: () = ::retake::macro_support::listed::<#ident>();)
    }
}

fn declare_argument(argument: &Argument) -> TokenStream {
    let Argument { key, kind, description, default, .. } = argument;
    match default {
        Some(default) => quote! {
            let value: #kind = #default;
            declaration.defaulted::<#kind>(#key, #description, &value);
        },
        None if last_segment_is(kind, "Option") => {
            quote!(declaration.optional::<#kind>(#key, #description);)
        }
        None => quote!(declaration.required::<#kind>(#key, #description);),
    }
}

fn take_argument(argument: &Argument) -> TokenStream {
    let Argument { name, key, kind, default, .. } = argument;
    match default {
        Some(default) => {
            quote!(let #name: #kind = arguments.take_or(#key, || -> #kind { #default })?;)
        }
        None => quote!(let #name: #kind = arguments.take(#key)?;),
    }
}
