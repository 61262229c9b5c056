//! Reads a written page back and holds it to what every page must be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use html5ever::tendril::TendrilSink as _;
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use noctule_page::model::Report;
use noctule_page::{Language, write};
use quick_xml::events::Event;

/// An element of the page: name, attributes and the text in it.
pub struct Element {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub text: String,
}

fn walk(node: &Handle, found: &mut Vec<Element>) -> String {
    let mut text = String::new();
    match &node.data {
        NodeData::Text { contents } => text.push_str(&contents.borrow()),
        NodeData::Element { name, attrs, .. } => {
            let attributes = (attrs.borrow().iter())
                .map(|attribute| {
                    (
                        attribute.name.local.to_string(),
                        attribute.value.to_string(),
                    )
                })
                .collect();
            let at = found.len();
            let name = name.local.to_string();
            found.push(Element {
                name,
                attributes,
                text: String::new(),
            });
            for child in node.children.borrow().iter() {
                text.push_str(&walk(child, found));
            }
            found[at].text.clone_from(&text);
        }
        _ => node
            .children
            .borrow()
            .iter()
            .for_each(|child| text.push_str(&walk(child, found))),
    }
    text
}

/// Writes a report, holds the page to what every page must be, and returns its elements.
pub fn page(report: &Report, language: Language) -> (tempfile::TempDir, Vec<Element>) {
    let folder = tempfile::tempdir().unwrap();
    let written = write(report, language, folder.path()).unwrap();
    assert_eq!(written.index, folder.path().join("index.html"));
    let octets: u64 = written
        .files
        .iter()
        .map(|path| fs::metadata(path).unwrap().len())
        .sum();
    assert_eq!(written.octets, octets);
    let html = fs::read_to_string(&written.index).unwrap();
    let dom = html5ever::parse_document(RcDom::default(), Default::default()).one(html.as_str());
    let errors = dom.errors.borrow();
    assert!(errors.is_empty(), "{errors:?}");
    let mut elements = Vec::new();
    walk(&dom.document, &mut elements);
    hold(&elements, folder.path());
    for part in html.split("<svg").skip(1) {
        let end = part.find("</svg>").expect("drawings end");
        well_formed(&format!("<svg{}</svg>", &part[..end]));
    }
    (folder, elements)
}

fn hold(elements: &[Element], folder: &Path) {
    let ids: Vec<&String> = elements
        .iter()
        .filter_map(|one| one.attributes.get("id"))
        .collect();
    let unique: BTreeSet<&String> = ids.iter().copied().collect();
    assert_eq!(ids.len(), unique.len(), "an id stands twice");
    let mut level = 0;
    for element in elements {
        for (name, value) in &element.attributes {
            assert!(
                !name.starts_with("on") && name != "style",
                "the policy forbids {name}"
            );
            match name.as_str() {
                "href" if value.starts_with('#') => {
                    assert!(
                        ids.contains(&&value[1..].to_owned()),
                        "{value} leads nowhere"
                    );
                }
                "href" => assert!(folder.join(value).is_file(), "{value} leads nowhere"),
                "src" => panic!("{value} is not in the page"),
                "aria-labelledby" => {
                    value
                        .split(' ')
                        .for_each(|id| assert!(ids.contains(&&id.to_owned()), "{id}"));
                }
                _ => {}
            }
        }
        if let Some(depth) = element
            .name
            .strip_prefix('h')
            .and_then(|depth| depth.parse().ok())
        {
            assert!(
                (1..=level + 1).contains(&depth),
                "{} comes too deep",
                element.text
            );
            level = depth;
        }
    }
    let count = |name: &str| elements.iter().filter(|one| one.name == name).count();
    assert_eq!(
        (count("h1"), count("main"), count("script"), count("style")),
        (1, 1, 1, 1)
    );
    assert_eq!(count("table"), count("caption"));
}

fn well_formed(svg: &str) {
    let mut reader = quick_xml::Reader::from_str(svg);
    let mut depth = 0;
    loop {
        match reader
            .read_event()
            .unwrap_or_else(|error| panic!("{error} in {svg}"))
        {
            Event::Eof => break,
            Event::Start(start) => {
                depth += 1;
                start
                    .attributes()
                    .for_each(|attribute| assert!(attribute.is_ok(), "{svg}"));
            }
            Event::End(_) => depth -= 1,
            _ => {}
        }
    }
    assert_eq!(depth, 0, "{svg}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
}

pub fn named<'a>(elements: &'a [Element], name: &str) -> impl Iterator<Item = &'a Element> {
    elements.iter().filter(move |element| element.name == name)
}
