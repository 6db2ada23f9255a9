//! What an answer of bulk_insert says, in a form to compare.

use serde_json::Value;

/// inserted, updated, unchanged, merged, rejected.
pub fn counts(answer: &Value) -> [u64; 5] {
    let rejected = answer["rejected"].as_array().unwrap().len() as u64;
    assert_eq!(answer["rejected_count"], rejected);
    let of = |name: &str| answer[name].as_u64().unwrap();
    [of("inserted"), of("updated"), of("unchanged"), of("merged"), rejected]
}

/// position, column, code of each reject.
pub fn rejects(answer: &Value) -> Vec<(u64, &str, &str)> {
    answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reject| {
            let text = |name: &str| reject[name].as_str().unwrap_or("-");
            (reject["position"].as_u64().unwrap(), text("column"), text("code"))
        })
        .collect()
}
