//! Names and references: what is written is what is read, and nothing else is taken.

use proptest::{prop_assert, prop_assert_eq, proptest};
use secrets::model::{SecretName, SecretRef};

proptest! {
    #[test]
    fn a_reference_is_read_as_it_is_written(
        team in "[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?",
        name in "[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?(/[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?){0,4}",
    ) {
        let secret = SecretRef::new(&team, &name).unwrap();
        prop_assert_eq!(secret.to_string().parse::<SecretRef>().unwrap(), secret);
    }

    #[test]
    fn any_text_is_read_or_refused_with_a_remedy(text in ".{0,60}") {
        for text in [text.clone(), format!("towpath://{text}"), format!("towpath://t/{text}")] {
            match text.parse::<SecretRef>() {
                Ok(secret) => prop_assert_eq!(secret.to_string(), text),
                Err(error) => prop_assert!(error.remedy.is_some()),
            }
        }
    }

    #[test]
    fn below_is_by_whole_words(
        path in "[a-z]{1,3}(/[a-z]{1,3}){0,2}",
        more in "[a-z]{1,3}",
    ) {
        let below = SecretName::new(format!("{path}/{more}")).unwrap();
        let beside = SecretName::new(format!("{path}{more}")).unwrap();
        prop_assert!(below.is_below(&path));
        prop_assert!(SecretName::new(path.as_str()).unwrap().is_below(&path));
        prop_assert!(!beside.is_below(&path));
        prop_assert!(beside.is_below(""));
    }
}
