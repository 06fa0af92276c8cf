//! Sees to it that no broker outlives the test process, however that ends. Knows no Kafka.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Kills what is listed and removes a directory as soon as the pipe from this process closes: on drop, at the end of the
/// process (where statics are not dropped), and when the process is killed.
#[derive(Debug)]
pub(crate) struct Guard {
    shell: Child,
}

/// Each line is the list of the processes that are to die, instead of the one before. Signals meant for the test process
/// come here too, from a terminal: the end of the pipe is the only thing that counts.
const SCRIPT: &str = r#"
trap "" INT TERM HUP
living=
while read -r line; do living=$line; done
[ -z "$living" ] || kill -9 $living 2>/dev/null
rm -rf "$1"
"#;

impl Guard {
    pub(crate) fn new(directory: &Path) -> Guard {
        let shell = Command::new("sh")
            .args(["-c", SCRIPT, "klamm-live-guard"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("sh starts");
        Guard { shell }
    }

    /// Replaces the list of the processes to kill.
    pub(crate) fn set(&mut self, living: &[u32]) {
        let mut line: String = living.iter().map(|id| format!("{id} ")).collect();
        line.push('\n');
        self.shell
            .stdin
            .as_mut()
            .expect("piped")
            .write_all(line.as_bytes())
            .expect("the guard reads until the end");
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
