//! The four engines themselves: what they are taken for.

use crate::support::{
    engines::{self, Kind},
    harness::Harness,
};

#[tokio::test]
async fn each_engine_is_known_by_name_and_version() {
    for kind in Kind::ALL {
        let board = Harness::search(engines::engine(kind).config());
        let list = board.answer("list_indices", "{}").await;
        let (name, version) = kind.name();
        assert_eq!(list["engine"]["name"], name, "{kind:?}");
        assert!(list["engine"]["version"].as_str().unwrap().starts_with(version), "{list}");
    }
}
