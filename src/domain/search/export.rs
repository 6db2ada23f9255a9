//! How exported documents are written: one JSON object a line, or CSV. Documents stay text, so that every digit survives.

mod layout;

use std::borrow::Cow;

use self::layout::Layout;
pub use self::layout::sources;
use super::{ExportedDocument, Mapping, access::matches};
use crate::domain::json;

/// Adds a line `{"_id":…,"_index":…,"document":{…}}`. The document is as the engine keeps it, less the line breaks between its tokens.
pub fn ndjson_line(document: &ExportedDocument, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"_id\":");
    out.extend_from_slice(json::of(&document.id).get().as_bytes());
    out.extend_from_slice(b",\"_index\":");
    out.extend_from_slice(json::of(&document.index).get().as_bytes());
    out.extend_from_slice(b",\"document\":");
    out.extend_from_slice(on_one_line(document.document.get()).as_bytes());
    out.extend_from_slice(b"}\n");
}

/// Bytes that a document takes in an answer, about.
pub fn inline_bytes(document: &ExportedDocument) -> usize {
    document.document.get().len() + document.id.len() + document.index.len() + 32
}

/// Whether a field is among those to keep: named, inside a named object, or fitting a pattern. No names means all.
pub fn keeps(fields: &[String], path: &str) -> bool {
    fields.is_empty()
        || fields.iter().any(|field| {
            matches(field, path)
                || path.strip_prefix(field.as_str()).is_some_and(|rest| rest.starts_with('.'))
                || path.match_indices('.').any(|(at, _)| path.get(..at).is_some_and(|parent| matches(field, parent)))
        })
}

/// The columns of a CSV export: `_id`, `_index` when there are several indices, and the fields asked for, or one for each leaf of the
/// mappings. `_extra` comes last when some document holds what has no column.
///
/// Cells are exact: nothing is added before a value that a spreadsheet would take for a formula. Null, missing and `{}` are empty cells, an
/// empty string is `""`, arrays and objects are JSON. Of a list of objects each column holds the list of its values.
pub struct Columns {
    layout: Layout,
    with_index: bool,
    with_extra: bool,
}

impl Columns {
    /// The fields asked for, in that order: a name is one column, a pattern the leaves of the mappings that fit. No fields: all leaves.
    pub fn new(mappings: &[Mapping], fields: &[String]) -> Self {
        let layout = if fields.is_empty() { Layout::whole(mappings) } else { Layout::new(mappings, fields) };
        let with_index = mappings.len() != 1 || fields.iter().any(|field| field == "_index");
        Self { layout, with_index, with_extra: false }
    }

    /// The same with a last column `_extra`: a JSON object of everything that has no column, so that nothing is lost.
    pub fn with_extra(mut self) -> Self {
        self.with_extra = true;
        self
    }

    /// Adds the header.
    pub fn header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"_id");
        if self.with_index {
            out.extend_from_slice(b",_index");
        }
        for name in &self.layout.names {
            out.push(b',');
            cell(name, out);
        }
        if self.with_extra {
            out.extend_from_slice(b",_extra");
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Adds the row of a document. False when the document holds something that has no column and there is no `_extra`; the row is not to be used then.
    pub fn row(&self, document: &ExportedDocument, out: &mut Vec<u8>) -> bool {
        let row = self.layout.row(document.document.get());
        cell(&document.id, out);
        if self.with_index {
            out.push(b',');
            cell(&document.index, out);
        }
        let rest = row.rest();
        let is_whole = self.with_extra || rest.is_none();
        for value in row.texts().chain(self.with_extra.then(|| rest.map(Cow::Owned))) {
            out.push(b',');
            if let Some(value) = value {
                cell(&value, out);
            }
        }
        out.extend_from_slice(b"\r\n");
        is_whole
    }
}

/// What stands in a cell: the text of a string, the JSON of anything else. A string that is no Unicode stays JSON.
fn shown(value: &str) -> Cow<'_, str> {
    match value.as_bytes().first() {
        Some(b'"') => match value.get(1..value.len().saturating_sub(1)) {
            Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
            _ => serde_json::from_str::<String>(value).map_or(Cow::Borrowed(value), Cow::Owned),
        },
        Some(b'{' | b'[') => on_one_line(value),
        _ => Cow::Borrowed(value),
    }
}

/// A cell by RFC 4180. An empty string is quoted, so that it differs from no value.
fn cell(text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() && !text.contains(['"', ',', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    for (place, part) in text.split('"').enumerate() {
        if place > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

/// Line breaks stand only between the tokens of valid JSON, where they mean nothing.
fn on_one_line(json: &str) -> Cow<'_, str> {
    if json.contains(['\n', '\r']) { Cow::Owned(json.replace(['\n', '\r'], "")) } else { Cow::Borrowed(json) }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::{Columns, keeps, ndjson_line};
    use crate::domain::{
        json,
        search::{ExportedDocument, Field, Mapping},
    };

    fn mapping(paths: &[&str]) -> Mapping {
        let field = |path: &&str| Field {
            path: (*path).to_owned(),
            type_name: "keyword".to_owned(),
            analyzer: None,
            format: None,
            target: None,
            multi_fields: Vec::new(),
        };
        Mapping { index: "i".to_owned(), fields: paths.iter().map(field).collect(), raw: json::null() }
    }

    fn document(text: &str) -> ExportedDocument {
        let document = RawValue::from_string(text.to_owned()).unwrap();
        ExportedDocument { id: "1".to_owned(), index: "i".to_owned(), document }
    }

    fn csv(columns: &Columns, text: &str) -> (String, bool) {
        let mut out = Vec::new();
        columns.header(&mut out);
        let whole = columns.row(&document(text), &mut out);
        (String::from_utf8(out).unwrap(), whole)
    }

    #[test]
    fn a_document_on_several_lines_becomes_one_line_and_keeps_its_digits() {
        let mut out = Vec::new();
        ndjson_line(&document("{\n  \"n\": 1.10,\r\n  \"t\": \"a\\nb\"\n}"), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"_id\":\"1\",\"_index\":\"i\",\"document\":{  \"n\": 1.10,  \"t\": \"a\\nb\"}}\n"
        );
    }

    #[test]
    fn cells_are_exact() {
        let columns = Columns::new(&[mapping(&["a", "b", "c", "d", "e", "f", "g"])], &[]);
        let text =
            r#"{"a":"x, \"y\"\nz","b":12345678901234567890.10,"c":null,"d":"","e":["p","q"],"f":true,"g":"=1+1"}"#;
        let (text, whole) = csv(&columns, text);
        assert!(whole);
        assert_eq!(
            text,
            "_id,a,b,c,d,e,f,g\r\n1,\"x, \"\"y\"\"\nz\",12345678901234567890.10,,\"\",\"[\"\"p\"\",\"\"q\"\"]\",true,=1+1\r\n"
        );
    }

    #[test]
    fn objects_are_flattened_and_dotted_names_are_the_same() {
        let columns = Columns::new(&[mapping(&["a.b", "a.c"])], &[]);
        assert_eq!(csv(&columns, r#"{"a":{"b":1,"c":2}}"#), ("_id,a.b,a.c\r\n1,1,2\r\n".to_owned(), true));
        assert_eq!(csv(&columns, r#"{"a.b":1,"a":{"c":2}}"#), ("_id,a.b,a.c\r\n1,1,2\r\n".to_owned(), true));
    }

    #[test]
    fn what_has_no_column_goes_into_the_last_one_or_is_told() {
        let bare = Columns::new(&[mapping(&["a.b"])], &[]);
        assert!(!csv(&bare, r#"{"x":[{"b":1}]}"#).1);
        assert!(csv(&bare, r#"{"x":null}"#).1);
        let extra = Columns::new(&[mapping(&["a.b"])], &[]).with_extra();
        let (text, whole) = csv(&extra, r#"{"a":[{"b":1},{"c":2},{"c":"x"},4],"x":2}"#);
        assert!(whole);
        assert_eq!(text, "_id,a.b,_extra\r\n1,[1],\"{\"\"a.c\"\":[2,\"\"x\"\"],\"\"a\"\":[4],\"\"x\"\":2}\"\r\n");
    }

    #[test]
    fn a_list_of_objects_fills_the_columns_of_its_members() {
        let columns = Columns::new(&[mapping(&["a", "a.b", "a.c.d"]), mapping(&["n"])], &[]);
        for (text, row) in [
            (r#"{"a":[{"b":"x"},{"b":"y","c":[{"d":1},{"d":2}]}],"n":[3]}"#, r#"1,i,"[""x"",""y""]","[1,2]",[3]"#),
            (r#"{"a":{"b":"x","c":{"d":1}},"n":3}"#, "1,i,x,1,3"),
            (r#"{"a":[]}"#, "1,i,,,"),
        ] {
            assert_eq!(csv(&columns, text), (format!("_id,_index,a.b,a.c.d,n\r\n{row}\r\n"), true), "{text}");
        }
        let either = Columns::new(&[mapping(&["a"]), mapping(&["a.b"])], &[]);
        let (text, whole) = csv(&either, r#"{"a":["x",{"b":"y"}]}"#);
        assert_eq!((text.as_str(), whole), ("_id,_index,a,a.b\r\n1,i,\"[\"\"x\"\"]\",\"[\"\"y\"\"]\"\r\n", true));
    }

    #[test]
    fn a_field_twice_in_one_document_is_not_lost() {
        let columns = Columns::new(&[mapping(&["a"])], &[]);
        assert_eq!(csv(&columns, r#"{"a":1,"a":2}"#), ("_id,a\r\n1,\"[1,2]\"\r\n".to_owned(), true));
    }

    #[test]
    fn several_indices_bring_the_name_of_each() {
        let columns = Columns::new(&[mapping(&["a"]), mapping(&["a", "b"])], &["a".to_owned()]);
        assert_eq!(csv(&columns, r#"{"a":1}"#).0, "_id,_index,a\r\n1,i,1\r\n");
    }

    fn asked(paths: &[&str], fields: &[&str], text: &str) -> (String, bool) {
        let fields: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
        csv(&Columns::new(&[mapping(paths)], &fields), text)
    }

    #[test]
    fn fields_asked_for_are_columns_in_that_order_and_no_others() {
        let paths = ["customer", "customer.name", "customer.age", "total"];
        for (fields, text, table) in [
            (
                vec!["total", "customer.name"],
                r#"{"customer":{"name":"A"},"total":1}"#,
                "_id,total,customer.name\r\n1,1,A\r\n",
            ),
            (
                vec!["customer.name"],
                r#"{"customer":[{"name":"A"},{"name":"B"}]}"#,
                "_id,customer.name\r\n1,\"[\"\"A\"\",\"\"B\"\"]\"\r\n",
            ),
            (vec!["customer.name"], r#"{"customer":[{"name":"A"}]}"#, "_id,customer.name\r\n1,\"[\"\"A\"\"]\"\r\n"),
            (vec!["customer.name"], r#"{"customer.name":"A"}"#, "_id,customer.name\r\n1,A\r\n"),
            (
                vec!["customer.name"],
                r#"{"customer.name":1,"customer":{"name":2}}"#,
                "_id,customer.name\r\n1,\"[1,2]\"\r\n",
            ),
            (vec!["customer.*"], r#"{"customer":{"age":3,"name":null}}"#, "_id,customer.name,customer.age\r\n1,,3\r\n"),
            (vec!["cust*", "customer.name"], r#"{"customer":[]}"#, "_id,customer.name,customer.age\r\n1,,\r\n"),
            (vec!["customer"], r#"{"customer":{"age":3}}"#, "_id,customer\r\n1,\"{\"\"age\"\":3}\"\r\n"),
            (
                vec!["customer.age", "customer"],
                r#"{"customer":{"age":3}}"#,
                "_id,customer.age,customer\r\n1,3,\"{\"\"age\"\":3}\"\r\n",
            ),
            (vec!["total", "nothing", "total", "_id"], r#"{"total":""}"#, "_id,total,nothing\r\n1,\"\",\r\n"),
            (vec!["_index"], "{}", "_id,_index\r\n1,i\r\n"),
        ] {
            assert_eq!(asked(&paths, &fields, text), (table.to_owned(), true), "{fields:?} {text}");
        }
        assert!(
            !asked(&paths, &["customer.*"], r#"{"customer":{"other":1}}"#).1,
            "a pattern kept it and it has no column"
        );
    }

    #[test]
    fn fields_are_named_by_path_object_or_pattern() {
        let only = |field: &str, path: &str| keeps(&[field.to_owned()], path);
        assert!(only("a", "a") && only("a", "a.b") && only("a.*", "a.b") && only("*name", "first_name"));
        assert!(only("na*", "name.first") && !only("a", "ab") && !only("a.b", "a") && keeps(&[], "x"));
    }
}
