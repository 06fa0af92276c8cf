//! What fuzzing has found, as one text file a target: a line an input, in hexadecimal digits.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Target;

/// The inputs of one target.
#[derive(Debug, Clone, Default)]
pub struct Corpus(pub BTreeSet<Vec<u8>>);

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn from_hex(line: &str) -> Option<Vec<u8>> {
    let digits = line.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits
        .1
        .is_empty()
        .then(|| digits.0.iter().map(byte).collect())?
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Corpus {
    /// What is committed for the target.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not hexadecimal.
    pub fn committed(target: &Target) -> io::Result<Self> {
        let path = Self::file(target);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            text => text?,
        };
        let inputs: Option<_> = text.lines().map(from_hex).collect();
        inputs.map(Self).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{} is not hexadecimal", path.display()),
            )
        })
    }

    /// What is committed for the target, and its seeds.
    ///
    /// # Errors
    /// As [`committed`](Self::committed).
    pub fn all(target: &Target) -> io::Result<Self> {
        let mut corpus = Self::committed(target)?;
        corpus.0.extend((target.seeds)());
        Ok(corpus)
    }

    /// Where the target's corpus is committed.
    #[must_use]
    pub fn file(target: &Target) -> PathBuf {
        folder().join(format!("{}.txt", target.name))
    }

    /// Where libFuzzer looks for it.
    #[must_use]
    pub fn unpacked(target: &Target) -> PathBuf {
        folder().join(target.name)
    }

    /// Writes the file that is committed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn commit(&self, target: &Target) -> io::Result<()> {
        let mut inputs: Vec<_> = self.0.iter().collect();
        inputs.sort_by_key(|input| (input.len(), *input));
        let lines: String = inputs.iter().map(|input| to_hex(input) + "\n").collect();
        fs::create_dir_all(folder())?;
        fs::write(Self::file(target), lines)
    }

    /// Writes a file an input, where libFuzzer looks for them.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn unpack(&self, target: &Target) -> io::Result<()> {
        let folder = Self::unpacked(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in self.0.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number:05}")), input)?;
        }
        Ok(())
    }

    /// Reads a file an input, as libFuzzer leaves them; without those that are seeds anyway.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn pack(target: &Target) -> io::Result<Self> {
        let mut inputs = BTreeSet::new();
        for entry in fs::read_dir(Self::unpacked(target))? {
            inputs.insert(fs::read(entry?.path())?);
        }
        for seed in (target.seeds)() {
            inputs.remove(&seed);
        }
        Ok(Self(inputs))
    }
}
