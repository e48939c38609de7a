//! What `#[data]` writes: derives that need no crates of the user's own.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{DeriveInput, Error, Result};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`#[data]` takes no arguments"));
    }
    let item: DeriveInput = syn::parse2(item)
        .map_err(|error| Error::new(error.span(), format!("`#[data]` belongs on a struct or an enum: {error}")))?;
    Ok(quote! {
        #[derive(
            ::retake::serde::Serialize,
            ::retake::serde::Deserialize,
            ::retake::schemars::JsonSchema,
        )]
        #[serde(crate = "::retake::serde")]
        #[schemars(crate = "::retake::schemars")]
        #item
    })
}
