//! The column types that create_table takes: an allow-list, so that no text of a caller ever reaches a statement as SQL. The names are
//! PostgreSQL's on every backend.

use std::fmt;

use crate::{domain::names::nearest, error::Error};

/// A type for a new column, read from a caller's text and held to the allow-list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    /// What one value is.
    pub base: BaseType,
    /// Dimensions of an array; 0 for a single value.
    pub dimensions: u8,
    /// The column numbers itself.
    pub identity: Option<Identity>,
}

/// How a column numbers itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A given value is refused.
    Always,
    /// A given value wins. What `serial` becomes.
    ByDefault,
}

/// What one value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the PostgreSQL type of that name; numbers are its precision, scale or length")]
pub enum BaseType {
    Boolean,
    SmallInt,
    Integer,
    BigInt,
    Real,
    DoublePrecision,
    Numeric(Option<(u16, u16)>),
    Text,
    Varchar(Option<u32>),
    Char(u32),
    Bytea,
    Date,
    Time(Option<u8>),
    TimeTz(Option<u8>),
    Timestamp(Option<u8>),
    TimestampTz(Option<u8>),
    Interval,
    Uuid,
    Json,
    Jsonb,
    Xml,
    Inet,
    Cidr,
    MacAddr,
    Money,
    Bit(u32),
    VarBit(Option<u32>),
    Int4Range,
    Int8Range,
    NumRange,
    TsRange,
    TsTzRange,
    DateRange,
    TsVector,
}

/// Names without arguments, and what they stand for.
const PLAIN: [(&str, BaseType); 25] = [
    ("boolean", BaseType::Boolean),
    ("bool", BaseType::Boolean),
    ("smallint", BaseType::SmallInt),
    ("int2", BaseType::SmallInt),
    ("integer", BaseType::Integer),
    ("int", BaseType::Integer),
    ("int4", BaseType::Integer),
    ("bigint", BaseType::BigInt),
    ("int8", BaseType::BigInt),
    ("real", BaseType::Real),
    ("float4", BaseType::Real),
    ("double precision", BaseType::DoublePrecision),
    ("float8", BaseType::DoublePrecision),
    ("text", BaseType::Text),
    ("bytea", BaseType::Bytea),
    ("date", BaseType::Date),
    ("interval", BaseType::Interval),
    ("uuid", BaseType::Uuid),
    ("json", BaseType::Json),
    ("jsonb", BaseType::Jsonb),
    ("xml", BaseType::Xml),
    ("inet", BaseType::Inet),
    ("cidr", BaseType::Cidr),
    ("macaddr", BaseType::MacAddr),
    ("money", BaseType::Money),
];

const RANGES: [(&str, BaseType); 7] = [
    ("int4range", BaseType::Int4Range),
    ("int8range", BaseType::Int8Range),
    ("numrange", BaseType::NumRange),
    ("tsrange", BaseType::TsRange),
    ("tstzrange", BaseType::TsTzRange),
    ("daterange", BaseType::DateRange),
    ("tsvector", BaseType::TsVector),
];

/// Names that number themselves.
const SERIALS: [(&str, BaseType); 6] = [
    ("serial", BaseType::Integer),
    ("serial4", BaseType::Integer),
    ("bigserial", BaseType::BigInt),
    ("serial8", BaseType::BigInt),
    ("smallserial", BaseType::SmallInt),
    ("serial2", BaseType::SmallInt),
];

/// Names that take arguments; read in [`with_arguments`].
const WITH_ARGUMENTS: [&str; 18] = [
    "numeric",
    "decimal",
    "varchar",
    "character varying",
    "char",
    "character",
    "time",
    "time without time zone",
    "timetz",
    "time with time zone",
    "timestamp",
    "timestamp without time zone",
    "timestamptz",
    "timestamp with time zone",
    "float",
    "bit",
    "varbit",
    "bit varying",
];

/// What people of other systems write, and what they mean.
const FOREIGN: [(&str, &str); 18] = [
    ("string", "text"),
    ("keyword", "text"),
    ("nvarchar", "varchar"),
    ("clob", "text"),
    ("datetime", "timestamptz"),
    ("tinyint", "smallint"),
    ("mediumint", "integer"),
    ("byte", "smallint"),
    ("short", "smallint"),
    ("long", "bigint"),
    ("unsigned_long", "numeric"),
    ("double", "double precision"),
    ("number", "numeric"),
    ("blob", "bytea"),
    ("binary", "bytea"),
    ("object", "jsonb"),
    ("nested", "jsonb"),
    ("ip", "inet"),
];

const LENGTH_MAX: u32 = 10_485_760;
const PRECISION_MAX: u16 = 1_000;
const DIMENSIONS_MAX: u8 = 6;

impl ColumnType {
    /// Reads a type as a caller writes it. `argument` names it in refusals: `columns[2].type`.
    ///
    /// # Errors
    /// `invalid` when it is not of the allow-list or its numbers are out of range.
    pub fn parse(given: &str, argument: &str) -> Result<Self, Error> {
        let words = given.to_ascii_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let (words, identity) = without_identity(&words);
        let (words, dimensions) = without_brackets(words);
        let refuse = |why: String| Error::invalid(argument.to_owned(), why);
        let (name, arguments) =
            arguments(words).ok_or_else(|| refuse(format!("`{argument}` cannot be read: `{given}`")).hint(EXAMPLES))?;
        let plain = PLAIN.iter().chain(&RANGES).find(|(known, _)| *known == name).map(|(_, base)| *base);
        let serial = SERIALS.iter().find(|(known, _)| *known == name).map(|(_, base)| *base);
        let base = match (plain.or(serial), WITH_ARGUMENTS.contains(&name.as_str())) {
            (Some(_), _) if !arguments.is_empty() => {
                return Err(refuse(format!("type `{name}` takes no numbers: `{given}`")));
            }
            (Some(base), _) => base,
            (None, true) => with_arguments(&name, &arguments).map_err(|why| refuse(format!("{why}: `{given}`")))?,
            (None, false) => return Err(unknown(&name, given, argument)),
        };
        let identity = identity.or(serial.map(|_| Identity::ByDefault));
        let counts = matches!(base, BaseType::SmallInt | BaseType::Integer | BaseType::BigInt);
        if dimensions > DIMENSIONS_MAX {
            return Err(refuse(format!("arrays have at most {DIMENSIONS_MAX} dimensions: `{given}`")));
        }
        if identity.is_some() && (!counts || dimensions > 0) {
            return Err(refuse(format!("only smallint, integer and bigint can be identity columns: `{given}`")));
        }
        Ok(Self { base, dimensions, identity })
    }

    /// The full name as PostgreSQL's catalog prints it: `character varying(50)`, `timestamp(3) with time zone`, `text[]`.
    pub fn full_name(&self) -> String {
        let base = match self.base {
            BaseType::Varchar(Some(length)) => format!("character varying({length})"),
            BaseType::Varchar(None) => "character varying".to_owned(),
            BaseType::Char(length) => format!("character({length})"),
            BaseType::Time(digits) => format!("time{} without time zone", in_brackets(digits)),
            BaseType::TimeTz(digits) => format!("time{} with time zone", in_brackets(digits)),
            BaseType::Timestamp(digits) => format!("timestamp{} without time zone", in_brackets(digits)),
            BaseType::TimestampTz(digits) => format!("timestamp{} with time zone", in_brackets(digits)),
            BaseType::VarBit(length) => format!("bit varying{}", in_brackets(length)),
            other => other.to_string(),
        };
        // The catalog keeps no number of dimensions.
        if self.dimensions > 0 { format!("{base}[]") } else { base }
    }
}

const EXAMPLES: &str = "e.g. text, varchar(50), integer, bigint, numeric(10,2), boolean, timestamptz, date, jsonb, uuid, bytea; `[]` after \
                        it for arrays";

fn without_identity(words: &str) -> (&str, Option<Identity>) {
    let by_default = words.strip_suffix(" generated by default as identity").map(|rest| (rest, Identity::ByDefault));
    let always = || words.strip_suffix(" generated always as identity").map(|rest| (rest, Identity::Always));
    match by_default.or_else(always) {
        Some((rest, identity)) => (rest, Some(identity)),
        None => (words, None),
    }
}

fn without_brackets(words: &str) -> (&str, u8) {
    if let Some(rest) = words.strip_suffix(" array") {
        return (rest, 1);
    }
    let (mut rest, mut dimensions) = (words.trim_end(), 0u8);
    while let Some((before, inside)) = rest.strip_suffix(']').and_then(|open| open.rsplit_once('['))
        && inside.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ')
    {
        rest = before.trim_end();
        dimensions = dimensions.saturating_add(1);
    }
    (rest, dimensions)
}

/// `timestamp(3) with time zone` → (`timestamp with time zone`, [3]).
fn arguments(words: &str) -> Option<(String, Vec<u32>)> {
    let Some((before, rest)) = words.split_once('(') else { return Some((words.trim().to_owned(), Vec::new())) };
    let (inside, after) = rest.split_once(')')?;
    let numbers = inside.split(',').map(|number| number.trim().parse().ok()).collect::<Option<Vec<u32>>>()?;
    let name = format!("{} {}", before.trim(), after.trim());
    Some((name.trim().to_owned(), numbers))
}

fn with_arguments(name: &str, numbers: &[u32]) -> Result<BaseType, String> {
    let length = || match numbers {
        [] => Ok(None),
        [length] if (1..=LENGTH_MAX).contains(length) => Ok(Some(*length)),
        _ => Err(format!("type `{name}` takes one length of 1 to {LENGTH_MAX}")),
    };
    let digits = || match numbers {
        [] => Ok(None),
        [digits] if *digits <= 6 => Ok(u8::try_from(*digits).ok()),
        _ => Err(format!("type `{name}` takes one number of 0 to 6")),
    };
    Ok(match name {
        "numeric" | "decimal" => BaseType::Numeric(precision(numbers)?),
        "varchar" | "character varying" => BaseType::Varchar(length()?),
        "char" | "character" => BaseType::Char(length()?.unwrap_or(1)),
        "time" | "time without time zone" => BaseType::Time(digits()?),
        "timetz" | "time with time zone" => BaseType::TimeTz(digits()?),
        "timestamp" | "timestamp without time zone" => BaseType::Timestamp(digits()?),
        "timestamptz" | "timestamp with time zone" => BaseType::TimestampTz(digits()?),
        "bit" => BaseType::Bit(length()?.unwrap_or(1)),
        "varbit" | "bit varying" => BaseType::VarBit(length()?),
        _ => match numbers {
            [] | [25..=53] => BaseType::DoublePrecision,
            [1..=24] => BaseType::Real,
            _ => return Err("type `float` takes one number of 1 to 53".to_owned()),
        },
    })
}

fn precision(numbers: &[u32]) -> Result<Option<(u16, u16)>, String> {
    let refuse =
        || format!("type `numeric` takes a precision of 1 to {PRECISION_MAX} and a scale of 0 to the precision");
    let (precision, scale) = match numbers {
        [] => return Ok(None),
        [precision] => (*precision, 0),
        [precision, scale] => (*precision, *scale),
        _ => return Err(refuse()),
    };
    let precision = u16::try_from(precision).ok().filter(|precision| (1..=PRECISION_MAX).contains(precision));
    let scale = u16::try_from(scale).ok();
    match (precision, scale) {
        (Some(precision), Some(scale)) if scale <= precision => Ok(Some((precision, scale))),
        _ => Err(refuse()),
    }
}

fn unknown(name: &str, given: &str, argument: &str) -> Error {
    let meant = FOREIGN.iter().find(|(foreign, _)| *foreign == name).map(|(_, ours)| (*ours).to_owned());
    let known = || {
        let names = PLAIN.iter().chain(&RANGES).chain(&SERIALS).map(|(known, _)| *known);
        nearest(name, names.chain(WITH_ARGUMENTS))
    };
    let constraint = ["not null", "primary key", "default", "unique", "references", "check"]
        .iter()
        .any(|words| given.to_ascii_lowercase().contains(words));
    let hint = if constraint {
        "write the type alone, and use `nullable`, `default` and `primary_key` for the rest"
    } else {
        EXAMPLES
    };
    Error::invalid(argument.to_owned(), format!("unknown column type `{given}`"))
        .did_you_mean(meant.map_or_else(known, |meant| vec![meant]))
        .hint(hint)
}

fn in_brackets<N: fmt::Display>(number: Option<N>) -> String {
    number.map(|number| format!("({number})")).unwrap_or_default()
}

impl fmt::Display for BaseType {
    /// The short name: `varchar(50)`, `timestamptz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numeric(Some((precision, scale))) => write!(f, "numeric({precision},{scale})"),
            Self::Numeric(None) => f.write_str("numeric"),
            Self::Varchar(length) => write!(f, "varchar{}", in_brackets(*length)),
            Self::Char(length) => write!(f, "char({length})"),
            Self::Time(digits) => write!(f, "time{}", in_brackets(*digits)),
            Self::TimeTz(digits) => write!(f, "timetz{}", in_brackets(*digits)),
            Self::Timestamp(digits) => write!(f, "timestamp{}", in_brackets(*digits)),
            Self::TimestampTz(digits) => write!(f, "timestamptz{}", in_brackets(*digits)),
            Self::Bit(length) => write!(f, "bit({length})"),
            Self::VarBit(length) => write!(f, "varbit{}", in_brackets(*length)),
            plain => {
                let name = PLAIN.iter().chain(&RANGES).find(|(_, base)| base == plain).map(|(name, _)| *name);
                f.write_str(name.unwrap_or_default())
            }
        }
    }
}

impl fmt::Display for ColumnType {
    /// As it stands in a CREATE TABLE.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.base)?;
        for _ in 0..self.dimensions {
            f.write_str("[]")?;
        }
        match self.identity {
            Some(Identity::Always) => f.write_str(" GENERATED ALWAYS AS IDENTITY"),
            Some(Identity::ByDefault) => f.write_str(" GENERATED BY DEFAULT AS IDENTITY"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ColumnType;

    fn read(given: &str) -> (String, String) {
        let read = ColumnType::parse(given, "columns[0].type").unwrap();
        (read.to_string(), read.full_name())
    }

    #[test]
    fn types_are_read_in_every_usual_spelling() {
        for (given, short, full) in [
            ("varchar(50)", "varchar(50)", "character varying(50)"),
            ("Character  Varying ( 50 )", "varchar(50)", "character varying(50)"),
            ("NUMERIC(10, 2)", "numeric(10,2)", "numeric(10,2)"),
            ("decimal(5)", "numeric(5,0)", "numeric(5,0)"),
            ("text[]", "text[]", "text[]"),
            ("int[][]", "integer[][]", "integer[]"),
            ("timestamp(3) with time zone", "timestamptz(3)", "timestamp(3) with time zone"),
            ("timestamptz", "timestamptz", "timestamp with time zone"),
            ("time", "time", "time without time zone"),
            ("bigserial", "bigint GENERATED BY DEFAULT AS IDENTITY", "bigint"),
            ("bigint generated always as identity", "bigint GENERATED ALWAYS AS IDENTITY", "bigint"),
            ("float", "double precision", "double precision"),
            ("char", "char(1)", "character(1)"),
        ] {
            assert_eq!(read(given), (short.to_owned(), full.to_owned()), "{given}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_what_was_meant() {
        for bad in [
            "",
            "text; drop table x",
            "text)",
            "varchar(0)",
            "numeric(2,3)",
            "numeric(1,2,3)",
            "text(5)",
            "regclass",
            "timestamp(9)",
            "serial[]",
            "text[][][][][][][]",
            "\"text\"",
            "public.text",
        ] {
            let refused = ColumnType::parse(bad, "columns[0].type").unwrap_err();
            assert_eq!(refused.argument.as_deref(), Some("columns[0].type"), "{bad}");
        }
        let meant = |given| ColumnType::parse(given, "t").unwrap_err().did_you_mean.clone();
        assert_eq!(meant("string"), ["text"]);
        assert_eq!(meant("datetime"), ["timestamptz"]);
        assert_eq!(meant("integr").first().map(String::as_str), Some("integer"));
        assert!(
            ColumnType::parse("integer primary key", "t").unwrap_err().hint.as_deref().unwrap().contains("primary_key")
        );
    }
}
