//! Names that a caller may have misspelt.

/// Up to three of `known` that are near `given`, the nearest first: what a `did_you_mean` lists.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    const NEAR: f64 = 0.72;
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
    near.into_iter().take(3).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_typo_finds_its_name() {
        assert_eq!(nearest("product", ["orders", "products"]), ["products"]);
        assert_eq!(nearest("cusomer_id", ["customer_id", "id"]), ["customer_id"]);
        assert!(nearest("zebra", ["orders", "products"]).is_empty());
    }
}
