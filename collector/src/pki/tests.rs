use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use time::OffsetDateTime;

use super::*;

/// An authority of somebody else's.
struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    Authority { issuer: Issuer::from_ca_cert_der(&certificate, key).unwrap(), certificate }
}

fn issued(authority: &Authority, uri: &str, ended: bool) -> (Vec<CertificateDer<'static>>, String) {
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = OffsetDateTime::now_utc() - Duration::from_secs(7200);
    let end = if ended { -Duration::from_secs(3600).as_secs_f64() } else { 3600.0 };
    params.not_after = OffsetDateTime::now_utc() + time::Duration::seconds_f64(end);
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, &authority.issuer).unwrap().der().clone();
    (vec![leaf, authority.certificate.clone()], key.serialize_pem())
}

fn write(directory: &Path, authority: &Authority, (chain, key): &(Vec<CertificateDer<'static>>, String)) {
    let pem = keys::certificates_to_pem(chain.iter().map(AsRef::as_ref));
    std::fs::write(directory.join("tls.crt"), pem).unwrap();
    std::fs::write(directory.join("tls.key"), key).unwrap();
    let roots = keys::certificates_to_pem([authority.certificate.as_ref()]);
    std::fs::write(directory.join("ca.crt"), roots).unwrap();
}

fn config(directory: &Path) -> PkiConfig {
    let rule = |san: &str, environment: Option<&str>, user: Option<&str>| Rule {
        san: san.into(),
        issuer: any(),
        environment: environment.map(str::to_owned),
        user: user.map(str::to_owned),
        environments: Vec::new(),
    };
    PkiConfig {
        certificate: Some(directory.join("tls.crt")),
        key: Some(directory.join("tls.key")),
        roots: Some(directory.join("ca.crt")),
        rules: vec![
            rule("spiffe://cluster.local/ns/evenkeel/node/*", Some("prod"), None),
            rule("spiffe://cluster.local/ns/ops/*", None, Some("operator")),
        ],
        ..PkiConfig::default()
    }
}

/// Promise: issuer and name say who the holder is, and nothing else does: not another authority, not a name without a
/// rule, not a name that is ours to give, not a certificate that has ended.
#[test]
fn rules_say_who() {
    let directory = tempfile::tempdir().unwrap();
    let (theirs, nobodys) = (authority("theirs"), authority("nobody's"));
    write(directory.path(), &theirs, &issued(&theirs, "spiffe://cluster.local/collector", false));
    let pki = Pki::open(config(directory.path())).unwrap();
    let who = |authority: &Authority, uri: &str, ended| {
        let (chain, _) = issued(authority, uri, ended);
        pki.authenticate(&chain).map(|known| known.peer)
    };
    let node = "spiffe://cluster.local/ns/evenkeel/node/web-1";
    let peer = who(&theirs, node, false).unwrap();
    assert!(matches!(&peer, Peer::Node { environment, .. } if environment == "prod"));
    assert_eq!(who(&theirs, node, false), Ok(peer), "the same name is the same node");
    let peer = who(&theirs, "spiffe://cluster.local/ns/ops/ada", false).unwrap();
    let name = peer.to_string();
    assert!(name.starts_with("operator pki.cluster.local-ns-ops-ada."), "{name}");
    let other = who(&theirs, "spiffe://cluster.local/ns/ops-ada", false);
    assert!(other.is_err(), "no rule is for it");
    let ada = who(&theirs, "spiffe://cluster.local/ns/ops/a-da", false).unwrap();
    let da = who(&theirs, "spiffe://cluster.local/ns/ops/a/da", false).unwrap();
    assert_ne!(ada.to_string(), da.to_string(), "two names are two people");

    assert_eq!(who(&nobodys, node, false).unwrap_err(), "invalid peer certificate: UnknownIssuer");
    assert!(who(&theirs, node, true).unwrap_err().contains("expired"));
    let no_rule = who(&theirs, "spiffe://cluster.local/ns/other/x", false).unwrap_err();
    assert!(no_rule.starts_with("no rule is for spiffe://cluster.local/ns/other/x of issuer "), "{no_rule}");
    let ours = "spiffe://evenkeel.internal/user/eve/role/admin";
    let refused = who(&theirs, ours, false).unwrap_err();
    assert_eq!(refused, "the certificate has no URI and no DNS name that another authority may give");
}

/// Promise: new files are in service without a restart; new files that are of no use leave the old ones in service, and
/// why is said, once.
#[test]
fn bad_new_files_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority("theirs");
    let first = issued(&authority, "spiffe://cluster.local/collector", false);
    write(directory.path(), &authority, &first);
    let pki = Pki::open(config(directory.path())).unwrap();
    assert!(!pki.look().unwrap(), "nothing has changed");
    let in_service = || pki.certified().unwrap().cert[0].clone();

    let second = issued(&authority, "spiffe://cluster.local/collector", false);
    write(directory.path(), &authority, &second);
    assert!(pki.look().unwrap());
    assert_eq!(in_service(), second.0[0]);

    // The key of another certificate, as between two writes.
    write(directory.path(), &authority, &(second.0.clone(), first.1));
    assert_eq!(
        exit::chain(&pki.look().unwrap_err()),
        "the certificates cannot be used for TLS: keys may not be consistent: KeyMismatch"
    );
    assert!(!pki.look().unwrap(), "said once");
    assert_eq!((in_service(), pki.failure().is_some()), (second.0[0].clone(), true));
    // A certificate that has ended.
    write(directory.path(), &authority, &issued(&authority, "spiffe://cluster.local/collector", true));
    assert!(exit::chain(&pki.look().unwrap_err()).contains("tls.crt: the certificate ended at "));
    std::fs::write(directory.path().join("ca.crt"), "nothing").unwrap();
    assert!(pki.look().is_err());
    assert_eq!(in_service(), second.0[0]);

    let third = issued(&authority, "spiffe://cluster.local/collector", false);
    write(directory.path(), &authority, &third);
    assert!(pki.look().unwrap());
    assert_eq!((in_service(), pki.failure()), (third.0[0].clone(), None));
}

#[test]
fn rules_that_cannot_be_used_are_named() {
    let check = |text: &str| {
        let config: PkiConfig = evenkeel_runtime::config::parse(text).unwrap();
        config.check(&["dev".into(), "prod".into()]).unwrap_err()
    };
    assert_eq!(check("key = \"k\""), "pki: certificate and key belong together");
    assert_eq!(check("roots = \"r\""), "pki: roots and rules belong together");
    let rule = |rest: &str| check(&format!("roots = \"r\"\n[[rules]]\nsan = \"x/*\"\n{rest}"));
    assert_eq!(rule(""), "pki.rules: \"x/*\": name either environment or user");
    assert_eq!(rule("environment = \"prd\""), "pki.rules: \"x/*\": there is no environment \"prd\"");
    assert_eq!(
        rule("user = \"root\""),
        "pki.rules: \"x/*\": \"root\" is not a role: viewer, operator or admin"
    );
}
