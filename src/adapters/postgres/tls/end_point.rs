//! `tls-server-end-point` of RFC 5929: the hash of the server's certificate, made by the hash function of the certificate's own signature.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::der::{OBJECT_IDENTIFIER, SEQUENCE, element};

/// `[0] EXPLICIT`: the hash function among the parameters of RSASSA-PSS.
const FIRST_PARAMETER: u8 = 0xa0;

/// PKCS #1 (1.2.840.113549.1.1), of which the last number says which signature.
const RSA: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
/// ecdsa-with-SHA1 (1.2.840.10045.4.1).
const ECDSA_SHA_1: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01];
/// ecdsa-with-SHA2 (1.2.840.10045.4.3).
const ECDSA: [u8; 7] = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
/// The hash functions of NIST (2.16.840.1.101.3.4.2).
const NIST_HASH: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];
/// SHA-1 (1.3.14.3.2.26).
const SHA_1: [u8; 5] = [0x2b, 0x0e, 0x03, 0x02, 0x1a];

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// The hash of a certificate in DER, or none where its signature uses no hash function of its own (Ed25519), or one that is not known.
pub fn hash(certificate: &[u8]) -> Option<Vec<u8>> {
    Some(match of_signature(certificate)? {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

/// `SEQUENCE { what is signed, SEQUENCE { the signature's name, its parameters }, the signature }`.
fn of_signature(certificate: &[u8]) -> Option<Hash> {
    let (certificate, _) = element(SEQUENCE, certificate)?;
    let (_signed, rest) = element(SEQUENCE, certificate)?;
    let (signature, _) = element(SEQUENCE, rest)?;
    let (name, parameters) = element(OBJECT_IDENTIFIER, signature)?;
    if let Some(of_rsa) = name.strip_prefix(&RSA) {
        return match of_rsa {
            // MD5 and SHA-1 count as SHA-256.
            [4 | 5 | 11] => Some(Hash::Sha256),
            [10] => of_pss(parameters),
            [12] => Some(Hash::Sha384),
            [13] => Some(Hash::Sha512),
            [14] => Some(Hash::Sha224),
            _ => None,
        };
    }
    if name == ECDSA_SHA_1 {
        return Some(Hash::Sha256);
    }
    match name.strip_prefix(&ECDSA)? {
        [1] => Some(Hash::Sha224),
        [2] => Some(Hash::Sha256),
        [3] => Some(Hash::Sha384),
        [4] => Some(Hash::Sha512),
        _ => None,
    }
}

/// SHA-1, and so SHA-256, where the parameters name none.
fn of_pss(parameters: &[u8]) -> Option<Hash> {
    let (parameters, _) = element(SEQUENCE, parameters)?;
    let Some((first, _)) = element(FIRST_PARAMETER, parameters) else { return Some(Hash::Sha256) };
    let (function, _) = element(SEQUENCE, first)?;
    let (name, _) = element(OBJECT_IDENTIFIER, function)?;
    if name == SHA_1 {
        return Some(Hash::Sha256);
    }
    match name.strip_prefix(&NIST_HASH)? {
        [1] => Some(Hash::Sha256),
        [2] => Some(Hash::Sha384),
        [3] => Some(Hash::Sha512),
        [4] => Some(Hash::Sha224),
        _ => None,
    }
}
