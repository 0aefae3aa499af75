//! The Score parser takes any bytes: it ends, says where every mistake is, and what it accepts is
//! accepted again as JSON, as the same workload.

#![no_main]

use libfuzzer_sys::fuzz_target;
use towpath_delivery::score::{self, Limits, Source};

fuzz_target!(|bytes: &[u8]| {
    let source = Source {
        name: "score.yaml".into(),
        bytes: bytes.to_vec(),
    };
    match score::parse(&source, &Limits::default()) {
        Ok(documents) => {
            for document in documents {
                let json = serde_json::to_value(&document.workload).expect("a workload is JSON");
                let again = score::validate(&json).expect("what was accepted is accepted again");
                assert_eq!(again, document.workload);
                score::deployable(&again);
                score::advice(&again);
            }
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            assert!(problems.iter().all(|problem| problem.remedy.is_some()));
        }
    }
});
