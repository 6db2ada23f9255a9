//! PostgreSQL's file of passwords.

use super::environment::Environment;

/// The connection that a password is wanted for.
pub struct Wanted<'a> {
    /// Host name; `localhost` for a socket.
    pub host: &'a str,
    /// Port.
    pub port: &'a str,
    /// Database.
    pub database: &'a str,
    /// User.
    pub user: &'a str,
}

/// The password of the first line that fits, from the file named, else `~/.pgpass`. A file that cannot be read holds none: psql does the same.
pub fn password(wanted: &Wanted<'_>, file: Option<&str>, environment: &Environment) -> Option<String> {
    let path = match file {
        Some(file) => environment.path(file),
        None => environment.home.as_deref()?.join(".pgpass"),
    };
    find(&std::fs::read_to_string(path).ok()?, wanted)
}

fn find(text: &str, wanted: &Wanted<'_>) -> Option<String> {
    let fits = |pattern: &str, value: &str| pattern == "*" || pattern == value;
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [host, port, database, user, password] = fields.as_slice() else { return None };
        let all = fits(host, wanted.host)
            && fits(port, wanted.port)
            && fits(database, wanted.database)
            && fits(user, wanted.user);
        all.then(|| password.clone())
    })
}

/// Fields between colons; a backslash keeps the next character as it is.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.trim_end_matches('\r').chars();
    while let Some(character) = characters.next() {
        let field = match character {
            ':' if fields.len() < 5 => {
                fields.push(String::new());
                continue;
            }
            '\\' => characters.next(),
            other => Some(other),
        };
        if let (Some(last), Some(character)) = (fields.last_mut(), field) {
            last.push(character);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::{Wanted, find};

    #[test]
    fn the_first_line_that_fits_wins() {
        let file = "# a comment\nother:*:*:*:no\ndb:5432:*:me:p\\:w\\\\d\n*:*:*:*:rest";
        let wanted = |host| Wanted { host, port: "5432", database: "x", user: "me" };
        assert_eq!(find(file, &wanted("db")).as_deref(), Some("p:w\\d"));
        assert_eq!(find(file, &wanted("elsewhere")).as_deref(), Some("rest"));
        assert_eq!(find("db:5432:x:you:p", &wanted("db")), None);
    }
}
