//! A certificate that signs itself, where it is read beyond what rustls reads.

use super::der::{OBJECT_IDENTIFIER, SEQUENCE, SET, any, each, element};

const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
/// `[0] EXPLICIT`, before the serial number.
const VERSION: u8 = 0xa0;
/// `[3] EXPLICIT`, at the end.
const EXTENSIONS: u8 = 0xa3;

/// 2.5.4.3.
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 0x03];
/// 2.5.29.15.
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x0f];
/// 2.5.29.17.
const ALTERNATIVE_NAME: [u8; 3] = [0x55, 0x1d, 0x11];
/// 2.5.29.37.
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
/// 1.3.6.1.5.5.7.3.1.
const SERVER: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// digitalSignature, keyEncipherment and keyAgreement.
const USAGES_OF_SERVERS: u8 = 0b1010_1000;

/// What a certificate says of itself.
#[derive(Debug)]
pub struct Own<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> Own<'a> {
    /// Reads a certificate in DER.
    pub fn read(certificate: &'a [u8]) -> Option<Self> {
        let (certificate, _) = element(SEQUENCE, certificate)?;
        let (signed, _) = element(SEQUENCE, certificate)?;
        let numbered = element(VERSION, signed).map_or(signed, |(_, rest)| rest);
        let (_serial, _, rest) = any(numbered)?;
        let (_algorithm, rest) = element(SEQUENCE, rest)?;
        let (issuer, rest) = element(SEQUENCE, rest)?;
        let (_validity, rest) = element(SEQUENCE, rest)?;
        let (subject, rest) = element(SEQUENCE, rest)?;
        let (_key, mut rest) = element(SEQUENCE, rest)?;
        let mut extensions: &[u8] = &[];
        while let Some((tag, content, behind)) = any(rest) {
            if tag == EXTENSIONS {
                (extensions, _) = element(SEQUENCE, content)?;
            }
            rest = behind;
        }
        Some(Self { issuer, subject, extensions })
    }

    /// OpenSSL takes it for the end of a chain, and for a server's: it names itself as who issued it, and its key may serve TLS.
    pub fn may_serve(&self) -> bool {
        let usage = self.extension(KEY_USAGE).is_none_or(|usage| {
            element(BIT_STRING, usage)
                .and_then(|(bits, _)| bits.get(1))
                .is_some_and(|bits| bits & USAGES_OF_SERVERS != 0)
        });
        let extended = self.extension(EXTENDED_KEY_USAGE).is_none_or(|usages| {
            element(SEQUENCE, usages)
                .is_some_and(|(usages, _)| each(OBJECT_IDENTIFIER, usages).any(|one| one == SERVER))
        });
        self.issuer == self.subject && usage && extended
    }

    /// As libpq does, the common name counts where there is no subjectAltName.
    pub fn is_commonly(&self, host: &str) -> bool {
        let mut attributes = each(SET, self.subject).flat_map(|set| each(SEQUENCE, set));
        let name = attributes.find_map(|attribute| match element(OBJECT_IDENTIFIER, attribute)? {
            (name, value) if name == COMMON_NAME => any(value),
            _ => None,
        });
        self.extension(ALTERNATIVE_NAME).is_none()
            && name.is_some_and(|(tag, name, _)| {
                matches!(tag, UTF8_STRING | PRINTABLE_STRING) && name.eq_ignore_ascii_case(host.as_bytes())
            })
    }

    fn extension(&self, wanted: [u8; 3]) -> Option<&'a [u8]> {
        each(SEQUENCE, self.extensions).find_map(|extension| {
            let (_, rest) = element(OBJECT_IDENTIFIER, extension).filter(|(name, _)| *name == wanted)?;
            // Whether it is critical may come before the value.
            let (tag, value, rest) = any(rest)?;
            if tag == OCTET_STRING { Some(value) } else { element(OCTET_STRING, rest).map(|(value, _)| value) }
        })
    }
}
