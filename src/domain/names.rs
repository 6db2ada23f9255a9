//! Names that a caller may have misspelt.

/// Up to three of `known` that are near `given`, the nearest first: what a `did_you_mean` lists. What is much farther than the nearest is left
/// out.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const NEAR: f64 = 0.8;
    const BEHIND: f64 = 0.04;
    let given = given.to_lowercase();
    let mut near: Vec<(f64, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let contains = given.len() >= 3 && (lower.contains(&given) || given.contains(&lower) && lower.len() >= 3);
            let score = strsim::jaro_winkler(&given, &lower).max(if contains { 0.9 } else { 0.0 });
            (score >= NEAR).then_some((score, name))
        })
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.dedup_by(|a, b| a.1 == b.1);
    let best = near.first().map_or(0.0, |(score, _)| *score);
    near.into_iter().take_while(|(score, _)| *score >= best - BEHIND).take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_name() {
        assert_eq!(nearest("product", ["orders", "products"]), ["products"]);
        assert_eq!(nearest("cusomer_id", ["customer_id", "id"]), ["customer_id"]);
        assert_eq!(
            nearest("query", ["explain_query", "execute_query", "count_rows"]),
            ["execute_query", "explain_query"]
        );
    }

    #[test]
    fn what_is_not_near_is_not_named() {
        assert!(nearest("zebra", ["orders", "products"]).is_empty());
        assert!(nearest("sleeping", ["starting", "stopping", "busy"]).is_empty());
        assert_eq!(nearest("list_table", ["list_agents", "list_indices", "list_tables"]), ["list_tables"]);
        assert_eq!(nearest("nullabel", ["name", "nullable"]), ["nullable"]);
        assert_eq!(nearest("gtt", ["gt", "gte", "lt"]), ["gt"]);
    }
}
