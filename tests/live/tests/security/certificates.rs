//! Certificates of a test's own: authorities, a broker's and a client's, as the PEM files that both sides read.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs;
use std::path::{Path, PathBuf};

/// Who signs certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let names = &mut params.distinguished_name;
        names.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("entropy");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate and its key in one text, as Kafka's PEM keystores have them.
    fn sign(&self, name: &str) -> String {
        let mut params = CertificateParams::new([name.to_owned()]).expect("a name");
        let names = &mut params.distinguished_name;
        names.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("entropy");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        format!("{}{}{}", key.serialize_pem(), certificate.pem(), self.pem)
    }
}

/// The files, in a directory that goes with this.
pub(crate) struct Certificates {
    directory: PathBuf,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let name = format!("klamm-live-certificates-{}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).expect("a directory of this process");
        let ours = Authority::new("klamm test authority");
        let theirs = Authority::new("somebody else's authority");
        for (file, text) in [
            ("ca.pem", ours.pem.clone()),
            ("other-ca.pem", theirs.pem.clone()),
            ("broker.pem", ours.sign("localhost")),
            ("elsewhere.pem", ours.sign("elsewhere.example")),
            ("client.pem", ours.sign("klamm-client")),
            ("other-client.pem", theirs.sign("klamm-client")),
        ] {
            fs::write(directory.join(file), text).expect("a directory of this process");
        }
        Self { directory }
    }

    pub(crate) fn path(&self, file: &str) -> String {
        self.directory.join(Path::new(file)).display().to_string()
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
