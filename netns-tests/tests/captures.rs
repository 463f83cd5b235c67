//! What the lab captures is what other programs read.

use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::{env, fs};

use simopen_nat::{InboundBareSyn, MiddleboxSpec};
use simopen_netns_tests::{Cell, Expected, requires_programs, run_all};
use simopen_protocol::technique::{SynOwner, Technique};

#[test]
fn captures_are_read_by_tshark_with_sound_checksums_and_the_forged_syn_acks() {
    if !requires_programs(&["tshark", "capinfos"]) {
        return;
    }
    let directory = Directory::new();
    let boxes =
        MiddleboxSpec::ei_mapping_apd_filtering().with_inbound_bare_syn(InboundBareSyn::Dropped);
    let technique = Technique::ForgedSynAck(SynOwner::Kernel);
    let mut cell = Cell::new("NAT, SYN dropped", boxes, technique, Expected::ConnectsByForgery);
    cell.attempt.captures = Some(directory.0.clone());

    drop(run_all(vec![cell]));

    for host in ["a", "b", "c"] {
        let file = directory.0.join(format!("{host}.pcapng"));
        let packets = capinfos_packets(&file);
        let checksums = checksums(&file);
        assert_eq!(checksums.len(), packets, "{host}: one line for each packet");
        // Wireshark's "good"; kernels behind TUN devices complete the sums of what they send.
        let unsound: Vec<_> = checksums.iter().filter(|status| *status != "1,1").collect();
        assert!(packets > 20 && unsound.is_empty(), "{host}: {packets} packets, {unsound:?}");
    }
    let (outside_a, outside_b) = ("198.51.100.1", "203.0.113.1");
    assert_eq!(syn_acks(&directory.0.join("a.pcapng"), outside_b), ["10.0.1.2"]);
    assert_eq!(syn_acks(&directory.0.join("b.pcapng"), outside_a), ["10.0.2.2"]);
    // Both left the broker's host in another's name.
    let broker = directory.0.join("c.pcapng");
    assert_eq!(syn_acks(&broker, outside_b), [outside_a]);
    assert_eq!(syn_acks(&broker, outside_a), [outside_b]);
}

/// The number of packets, from a program that reads the file's structure alone.
fn capinfos_packets(file: &Path) -> usize {
    let table = run("capinfos", &["-c", "-M", "-T", "-r"], file);
    let count = table.first().and_then(|line| line.split('\t').nth(1));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("{table:?}"))
}

/// "1,1" for each packet whose IP and TCP checksums are good.
fn checksums(file: &Path) -> Vec<String> {
    let options = [
        "-o",
        "ip.check_checksum:TRUE",
        "-o",
        "tcp.check_checksum:TRUE",
        "-T",
        "fields",
        "-E",
        "separator=,",
        "-e",
        "ip.checksum.status",
        "-e",
        "tcp.checksum.status",
        "-r",
    ];
    run("tshark", &options, file)
}

/// The destinations of the SYN-ACKs with this source.
fn syn_acks(file: &Path, source: &str) -> Vec<String> {
    let filter = format!("tcp.flags.syn == 1 && tcp.flags.ack == 1 && ip.src == {source}");
    run("tshark", &["-Y", &filter, "-T", "fields", "-e", "ip.dst", "-r"], file)
}

/// Runs a program on a file and returns the lines that it writes.
fn run(program: &str, options: &[&str], file: &Path) -> Vec<String> {
    let output = Command::new(program).args(options).arg(file).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {complaint}", file.display());
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = env::temp_dir().join(format!("simopen-captures-{}", process::id()));
        fs::create_dir_all(&path).expect("the system gives a temporary directory");
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // What stays is a file in the temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}
