//! Finds circles of files that use each other inside a package.
//!
//! A file uses another if one of its paths leads to an item of the other. Tests may use anything.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::files;
use super::source::File;
use crate::shell;

/// A module's name below the package: `table::flow` is `["table", "flow"]`, the root is empty.
type Module = Vec<String>;

/// A package's modules.
struct Package {
    files: BTreeMap<Module, File>,
}

impl Package {
    /// Reads a package from the file of its root module.
    fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut open = vec![(Module::new(), root.to_owned())];
        while let Some((module, path)) = open.pop() {
            let Ok(text) = std::fs::read_to_string(&path) else {
                // An inline module, or the file of another.
                continue;
            };
            let file = File::read(path.clone(), &text);
            let folder = if module.is_empty() || path.ends_with("mod.rs") {
                path.parent().unwrap().to_owned()
            } else {
                path.with_extension("")
            };
            for child in &file.children {
                let mut name = module.clone();
                name.push(child.clone());
                let flat = folder.join(format!("{child}.rs"));
                let path = if flat.exists() {
                    flat
                } else {
                    folder.join(child).join("mod.rs")
                };
                open.push((name, path));
            }
            files.insert(module, file);
        }
        Self { files }
    }

    /// The files that a path in a module leads to. A module that passes a name on with `pub use` is
    /// not among them, but the one that defines it is.
    fn resolve(&self, module: &Module, path: &[String], depth: u32, found: &mut BTreeSet<Module>) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        if depth > 8 {
            return;
        }
        let file = &self.files[module];
        let mut at = module.clone();
        let mut rest = rest;
        match first.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
                while let Some(("super", further)) = rest
                    .split_first()
                    .map(|(one, further)| (one.as_str(), further))
                {
                    at.pop();
                    rest = further;
                }
            }
            name if file.children.contains(name) => at.push(name.to_owned()),
            name => {
                // A name that `use` brought in: its path goes on here.
                if let Some((path, _)) = file.names.get(name)
                    && path.first() != Some(first)
                {
                    let path = [path, rest].concat();
                    self.resolve(module, &path, depth + 1, found);
                }
                return;
            }
        }
        while let Some((name, further)) = rest.split_first() {
            let mut child = at.clone();
            child.push(name.clone());
            if !self.files.contains_key(&child) {
                break;
            }
            (at, rest) = (child, further);
        }
        // A module alone: what is used of it is named elsewhere.
        let (Some(name), Some(file)) = (rest.first(), self.files.get(&at)) else {
            return;
        };
        if let Some((path, _)) = file.names.get(name) {
            let path = [path, &rest[1..]].concat();
            return self.resolve(&at, &path, depth + 1, found);
        }
        if !file.items.contains(name) {
            for (glob, _) in file.globs.iter().filter(|(_, is_public)| *is_public) {
                let path = [glob, rest].concat();
                self.resolve(&at, &path, depth + 1, found);
            }
        }
        if file.items.contains(name) || file.globs.is_empty() {
            found.insert(at);
        }
    }

    /// For each module, the modules that it uses.
    fn uses(&self) -> BTreeMap<&Module, BTreeSet<Module>> {
        let one = |(module, file): (_, &File)| {
            let mut found = BTreeSet::new();
            let private = file.names.values().filter(|(_, is_public)| !is_public);
            let imported = private.map(|(path, _)| path);
            for path in imported.chain(&file.paths) {
                self.resolve(module, path, 0, &mut found);
            }
            for (glob, _) in file.globs.iter().filter(|(_, is_public)| !is_public) {
                let any = [glob.as_slice(), &["*".to_owned()]].concat();
                self.resolve(module, &any, 0, &mut found);
            }
            found.remove(module);
            (module, found)
        };
        self.files.iter().map(one).collect()
    }

    /// Groups of more than two files, each of which uses every other of its group through others.
    fn circles(&self) -> Vec<BTreeSet<PathBuf>> {
        let uses = self.uses();
        let reached = |start: &Module| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start.clone()]);
            while let Some(next) = open.pop() {
                for one in &uses[&next] {
                    if seen.insert(one.clone()) {
                        open.push(one.clone());
                    }
                }
            }
            seen
        };
        let all: BTreeMap<&Module, BTreeSet<Module>> = uses
            .keys()
            .map(|module| (*module, reached(module)))
            .collect();
        let mut circles = BTreeSet::new();
        for (module, seen) in &all {
            let group: BTreeSet<PathBuf> = (seen.iter())
                .filter(|other| all[other].contains(*module))
                .map(|other| self.files[other].path.clone())
                .collect();
            if group.len() > 2 {
                circles.insert(group);
            }
        }
        circles.into_iter().collect()
    }
}

/// Folders of packages that have sources of their own.
fn packages() -> Vec<PathBuf> {
    let root = shell::root();
    let manifests = files(&root, &["toml"]).into_iter();
    let folders = manifests
        .filter(|path| path.ends_with("Cargo.toml"))
        .filter_map(|path| path.parent().map(Path::to_owned));
    folders
        .filter(|folder| folder.join("src").is_dir())
        .collect()
}

#[test]
fn no_circle_has_more_than_two_files() {
    let mut bad = String::new();
    for folder in packages() {
        let name = folder.strip_prefix(shell::root()).unwrap().to_owned();
        for root in ["lib.rs", "main.rs"].map(|root| folder.join("src").join(root)) {
            if !root.exists() {
                continue;
            }
            for circle in Package::read(&root).circles() {
                bad.push_str(&format!("\n{}:", name.display()));
                for path in circle {
                    bad.push_str(&format!(
                        " {}",
                        path.strip_prefix(&folder).unwrap().display()
                    ));
                }
            }
        }
    }
    assert!(bad.is_empty(), "each of these files uses every other:{bad}");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A package of files given by their names below `src`.
    fn package(sources: &[(&str, &str)]) -> Vec<BTreeSet<PathBuf>> {
        let name = std::thread::current().name().unwrap().replace("::", "-");
        let folder = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
        for (name, text) in sources {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let circles = Package::read(&folder.join("lib.rs")).circles();
        std::fs::remove_dir_all(folder).unwrap();
        circles
    }

    const ROOT: (&str, &str) = ("lib.rs", "mod a; mod b; mod c;");

    #[test]
    fn three_files_in_a_circle_are_found_however_they_name_each_other() {
        let circle = [
            ROOT,
            ("a.rs", "use crate::b::B; pub struct A(B);"),
            ("b.rs", "pub struct B(super::c::C);"),
            ("c.rs", "use crate::a; pub struct C { f: fn() -> a::A }"),
        ];
        let found = package(&circle);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].len(), 3);
    }

    #[test]
    fn two_files_comments_strings_and_tests_make_none() {
        let fine = [
            ROOT,
            ("a.rs", "use crate::b::B; pub struct A; pub fn a(_: B) {}"),
            ("b.rs", "use crate::{a::A}; pub struct B(A);"),
            (
                "c.rs",
                "// use crate::a::A;\nconst C: &str = \"crate::a::A\";\n#[cfg(test)]\nmod tests { use crate::a::A; }",
            ),
        ];
        assert!(package(&fine).is_empty());
    }

    #[test]
    fn a_parent_that_passes_names_on_is_no_part_of_a_circle() {
        let parent = (
            "a.rs",
            "mod one; mod two; pub use one::One; pub use self::two::{Two};",
        );
        let one = ("a/one.rs", "use super::Two; pub struct One(Two);");
        let two = ("a/two.rs", "pub struct Two;");
        let root = ("lib.rs", "mod a; pub use a::{One, Two};");
        assert!(package(&[root, parent, one, two]).is_empty());
        // The same with a type of the parent's, used by both, which it uses.
        let parent = (
            "a.rs",
            "mod one; mod two; pub struct Three(one::One, two::Two);",
        );
        let one = ("a/one.rs", "use super::Three; pub struct One(Three);");
        let two = ("a/two.rs", "use super::*; pub struct Two(Three);");
        assert_eq!(package(&[root, parent, one, two])[0].len(), 3);
    }
}
