//! What pipelines keep that they should fetch: copies of a team's secrets, and more than the one credential
//! by which they reach these.

/// Values that a violation names; the rest is counted.
const NAMED: usize = 10;

/// What is wrong with the values that the pipelines of `place` keep: `kept` by their names, with a team
/// whose secrets are called `secrets`. A copy is known by its name alone: values cannot be read there.
pub(crate) fn violations(place: &str, kept: &[String], secrets: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    for name in kept {
        let copied = secrets.iter().find(|secret| is_copy(name, secret));
        if let Some(secret) = copied {
            found.push(format!(
                "{place} keeps `{name}`, as the team's secret `{secret}` is called: fetch it with `towpath \
                 secrets run`, and remove it there"
            ));
        }
    }
    if kept.len() > 1 {
        let mut names: Vec<String> = kept.iter().take(NAMED).map(|n| format!("`{n}`")).collect();
        if kept.len() > NAMED {
            names.push(format!("{} more", kept.len() - NAMED));
        }
        found.push(format!(
            "{place} keeps {} values ({}): the one by which it reaches the team's secrets is enough",
            kept.len(),
            names.join(", ")
        ));
    }
    found
}

/// Whether a pipeline's value is called as a secret is: by its whole name, or by the last word of it.
fn is_copy(name: &str, secret: &str) -> bool {
    let last = secret.rsplit('/').next().unwrap_or(secret);
    let as_variable = |secret: &str| -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        secret.chars().map(letter).collect()
    };
    [secret, last]
        .iter()
        .any(|secret| as_variable(secret).eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn one_value_that_is_no_copy_is_as_it_should_be() {
        let secrets = names(&["stripe/api-key"]);
        assert!(violations("it", &names(&["TOWPATH_TOKEN"]), &secrets).is_empty());
        assert!(violations("it", &[], &secrets).is_empty());
        assert!(violations("it", &names(&["STRIPE_KEY"]), &secrets).is_empty());
    }

    #[test]
    fn a_copy_is_known_by_its_name_whole_or_last() {
        let secrets = names(&["stripe/api-key", "db.password"]);
        for copy in ["STRIPE_API_KEY", "API_KEY", "api_key", "DB_PASSWORD"] {
            let found = violations("it", &names(&[copy]), &secrets);
            assert_eq!(found.len(), 1, "{copy}");
            assert!(found[0].starts_with(&format!("it keeps `{copy}`, as the team's secret")));
        }
    }

    #[test]
    fn more_than_one_value_is_told_with_their_names() {
        let many: Vec<String> = (0..12).map(|n| format!("V{n}")).collect();
        let found = violations("it", &many, &[]);
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("it keeps 12 values (`V0`, "));
        assert!(found[0].contains("`V9`, 2 more)"));
    }
}
