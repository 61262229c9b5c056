//! Links and paths in documents lead to files.

use std::path::Path;

use super::files;
use crate::shell;

/// Folders at the top: text in backticks that begins with one is a path.
const TOP: [&str; 5] = ["collector/", "tests/", "xtask/", "ebpf/", "benches/"];

/// Targets of links, without anchors; addresses in the web are left out.
fn links(text: &str) -> impl Iterator<Item = &str> {
    (text.split("](").skip(1))
        .filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
        .map(|target| target.split('#').next().unwrap_or_default())
        .filter(|target| !target.is_empty() && !target.contains("://"))
}

/// Text in backticks that is a path from the repository's folder.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let is_path = |word: &&str| {
        TOP.iter().any(|top| word.starts_with(top)) && !word.contains([' ', '*', '<', '\n'])
    };
    text.split('`').skip(1).step_by(2).filter(is_path)
}

#[test]
fn links_and_paths_of_documents_exist() {
    let root = shell::root();
    let mut missing = Vec::new();
    for document in files(&root, &["md"]) {
        let text = std::fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap_or(Path::new("."));
        let linked = links(&text).map(|link| folder.join(link));
        let named = paths(&text).map(|path| root.join(path));
        for path in linked.chain(named).filter(|path| !path.exists()) {
            missing.push(format!("{}: {}", document.display(), path.display()));
        }
    }
    assert!(missing.is_empty(), "these are not there: {missing:#?}");
}

#[test]
fn links_and_paths_are_found() {
    let text =
        "see [a](b.md#c), [d](https://e), [f](#g), `tests/kit` and `cargo test` and `tests/*`";
    assert_eq!(links(text).collect::<Vec<_>>(), ["b.md"]);
    assert_eq!(paths(text).collect::<Vec<_>>(), ["tests/kit"]);
}
