//! What can be told of a document that can be read in part.

use kernel::Problem;

/// Whether a problem is of a field by itself: in a document of which other fields could not be read it does not
/// come from that.
pub fn stands_alone(problem: &Problem) -> bool {
    const ALONE: [&str; 4] = [
        "definition/alias",
        "definition/learn",
        "definition/provisioner",
        "definition/type",
    ];
    ALONE.contains(&problem.rule.as_str())
}

#[cfg(test)]
mod tests {
    use kernel::document::in_part;
    use serde_json::json;

    use crate::model::ResourceDefinitionSpec;

    #[test]
    fn all_that_is_wrong_with_a_shape_is_told_and_the_rest_is_read() {
        let spec = json!({
            "type": "db", "provisioner": "nothing", "parms": {}, "holdsData": "maybe",
            "criteria": [{ "role": "dev" }, { "rolle": "prod", "team": "web" }],
        });
        let (read, problems) = in_part::<ResourceDefinitionSpec>(&spec, "documents[0].spec");
        let told: Vec<_> = problems
            .iter()
            .map(|problem| (problem.path.as_str(), problem.remedy.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("documents[0].spec.parms", Some("did you mean `params`?")),
                ("documents[0].spec.holdsData", Some("write true or false")),
                (
                    "documents[0].spec.criteria[1].rolle",
                    Some("did you mean `role`?")
                ),
            ]
        );
        let read = read.unwrap();
        assert_eq!(read.provisioner, "nothing");
        assert_eq!(read.criteria[1].team.as_deref(), Some("web"));
    }

    #[test]
    fn what_is_missing_is_told_once() {
        for (spec, path) in [
            (json!({ "type": 5, "provisioner": "x" }), "at.type"),
            (json!({ "provisioner": "x" }), "at"),
        ] {
            let (read, problems) = in_part::<ResourceDefinitionSpec>(&spec, "at");
            assert_eq!(read, None);
            let [problem] = problems.as_slice() else {
                panic!("{problems:?}");
            };
            assert_eq!(problem.path, path);
            assert!(problem.remedy.is_some(), "{problem:?}");
        }
    }
}
