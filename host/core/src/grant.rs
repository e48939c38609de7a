//! What an operator keeps for flows, and grants to the runs of a deployment.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::component::Capability;
use crate::value::Json;

/// The secrets and variables of a deployment's runs, by name.
#[derive(Clone, Default)]
pub struct Grants {
    /// Texts that nobody is shown.
    pub secrets: BTreeMap<String, Arc<str>>,
    /// JSON values.
    pub variables: BTreeMap<String, Json>,
}

impl Grants {
    /// Returns what is both granted and asked for; `None` when that is nothing.
    pub fn asked_for(&self, asked: &[Capability]) -> Option<Arc<Self>> {
        let mut both = Self::default();
        for it in asked {
            match it {
                Capability::Secret(name) => {
                    both.secrets.extend(self.secrets.get(name).map(|it| (name.clone(), it.clone())));
                }
                Capability::Variable(name) => {
                    both.variables.extend(self.variables.get(name).map(|it| (name.clone(), it.clone())));
                }
                Capability::Http(_) | Capability::Dir { .. } => {}
            }
        }
        (!both.secrets.is_empty() || !both.variables.is_empty()).then(|| both.into())
    }
}

/// Names alone: what is printed for a person to look at is kept somewhere.
impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.secrets.keys().chain(self.variables.keys());
        f.debug_list().entries(names).finish()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "this module is nothing but tests")]
    use super::*;

    #[test]
    fn only_what_is_granted_and_asked_for_is_had() {
        let secret = |name: &str| (name.to_owned(), Arc::from(format!("value of {name}")));
        let granted = Grants {
            secrets: [secret("a"), secret("b")].into(),
            variables: [("b".to_owned(), Json::trusted("1"))].into(),
        };
        let asked = [
            Capability::Secret("a".into()),
            Capability::Variable("b".into()),
            Capability::Variable("a".into()),
            Capability::Secret("c".into()),
            Capability::Http("b".into()),
        ];
        let both = granted.asked_for(&asked).unwrap();
        assert_eq!(both.secrets, [secret("a")].into());
        assert_eq!(both.variables, [("b".to_owned(), Json::trusted("1"))].into());
        assert!(granted.asked_for(&asked[2..]).is_none());
    }

    #[test]
    fn no_value_is_printed() {
        let granted = Grants { secrets: [("token".to_owned(), Arc::from("hunter22"))].into(), ..Grants::default() };
        assert_eq!(format!("{granted:?}"), r#"["token"]"#);
    }
}
