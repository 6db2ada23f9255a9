//! Why a login failed, and what mends it. Servers that speak another language than English get the hint that goes with the SQLSTATE alone.

/// Says at once that it is the server's own login that failed: agents take "authentication failed" for theirs.
pub(super) fn rejected(words: &str) -> String {
    format!("backend_credentials_rejected: the database did not accept this server's login ({words})")
}

/// What the driver says of a login that did not get as far as an answer of the server, and what mends it.
pub(super) fn not_made(cause: &str) -> Option<(String, &'static str)> {
    let (why, hint) = match cause {
        "password missing" => {
            return Some((
                rejected("the database asks for a password that is not set"),
                "the operator should set the user and password in DATABASE_URL",
            ));
        }
        "server did not use channel binding" => (
            "`channel_binding=require` cannot be met: the login is not tied to an encrypted connection",
            "it needs TLS (sslmode=require or stricter) up to the server itself, a password kept as scram-sha-256, \
             and a certificate that is not signed by Ed25519; a pooler or proxy that ends TLS cannot do it",
        ),
        "unsupported authentication method" => (
            "the database asks for a login by Kerberos, GSSAPI or SSPI, which this server does not have",
            "the operator gives this server's role a line with scram-sha-256 or cert in the server's pg_hba.conf",
        ),
        "unsupported SASL mechanism" => (
            "the database asks for a login other than by SCRAM-SHA-256, which this server does not have",
            "the operator gives this server's role a line with scram-sha-256 or cert in the server's pg_hba.conf",
        ),
        "database does not allow writes" => (
            "the database cannot be reached: `target_session_attrs=read-write` asks for one that takes writes, and none does",
            "the operator names the primary in DATABASE_URL, or takes target_session_attrs out to read only",
        ),
        "database is not read only" => (
            "the database cannot be reached: `target_session_attrs=read-only` asks for one that only reads, and none does",
            "the operator names a replica in DATABASE_URL",
        ),
        // What the server sent in the last step does not follow from the password.
        cause if cause.contains("SCRAM") || cause.contains("nonce") || cause.contains("verif") => (
            "the database did not prove that it knows this server's password",
            "another server may stand in its place: the operator looks at the host in DATABASE_URL, and at sslmode=verify-full",
        ),
        _ => return None,
    };
    Some((why.to_owned(), hint))
}

/// What mends a refusal of the server.
pub(super) fn hint(state: &str, words: &str) -> Option<&'static str> {
    let says = |part: &str| words.contains(part);
    Some(match state {
        "28P01" => "the operator should set the user and password in DATABASE_URL",
        "28000" if says("no pg_hba.conf entry") && (says("no encryption") || says("SSL off")) => {
            "the server's pg_hba.conf has no line for this login without encryption: the operator sets sslmode=require in DATABASE_URL, or adds a line"
        }
        "28000" if says("pg_hba.conf") => {
            "the operator adds a line for this role, database and address to the server's pg_hba.conf, or corrects user and database in DATABASE_URL"
        }
        "28000" if says("does not exist") => "the operator corrects the user in DATABASE_URL, or creates the role",
        "28000" if says("not permitted to log in") => "the operator lets the role log in: ALTER ROLE … LOGIN",
        "28000" if says("certificate") => {
            "the operator names this server's certificate and key by sslcert and sslkey in DATABASE_URL; the certificate's common name has to be the role's"
        }
        "28000" if says("Peer authentication") || says("Ident authentication") => {
            "the server takes this login only from a system user of the role's name: the operator names a host and password in DATABASE_URL, or changes the line in pg_hba.conf"
        }
        "28000" => {
            "the operator should check user, sslmode, sslcert and sslkey in DATABASE_URL, and the server's pg_hba.conf"
        }
        state if state.starts_with("28") => "the operator should set the user and password in DATABASE_URL",
        "53300" => {
            "the server has no connection free for this role: the operator closes others, raises max_connections or the role's limit, or puts a pooler in between"
        }
        "57P03" => super::AS_SOON_AS,
        _ => return None,
    })
}
