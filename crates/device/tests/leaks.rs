//! Nothing stays behind: no thread, no descriptor, no namespace. Alone in its process, because it
//! counts.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernel/requires.rs"]
mod requires;

use std::collections::BTreeSet;
use std::fs;

use simopen_device::capability::Capability;
use simopen_device::capture::{TunRouteCapture, TunRouteConfig};
use simopen_device::filter::Scope;
use simopen_device::namespace::Namespace;
use simopen_device::tun::{Tun, TunConfig};

#[test]
fn no_thread_descriptor_or_namespace_outlives_its_owner() {
    let needed = [Capability::NetworkNamespace, Capability::TunDevice, Capability::PacketSocket];
    if !requires::requires(&needed) {
        return;
    }
    let before = (count("/proc/self/task"), count("/proc/self/fd"));
    let mut made = BTreeSet::new();
    for round in 0..20 {
        let thread = Namespace::spawn("host", move || {
            let real = Tun::open(&TunConfig::named("tun0")).unwrap();
            real.interface().add_address("10.0.0.1".parse().unwrap(), 24).unwrap();
            real.interface().set_up().unwrap();
            let capture = TunRouteCapture::open(config()).unwrap();
            assert!(round % 2 == 0, "a panic leaves nothing either");
            (real, capture, Namespace::current().unwrap())
        });
        let thread = thread.unwrap();
        made.insert(thread.namespace_id());
        drop(thread.join());
    }
    assert_eq!((count("/proc/self/task"), count("/proc/self/fd")), before);
    assert_eq!(alive().intersection(&made).count(), 0);
}

fn config() -> TunRouteConfig {
    TunRouteConfig {
        tun: "standin".to_owned(),
        interface: "tun0".to_owned(),
        local: "10.0.0.1:4000".parse().unwrap(),
        remote: "10.0.0.2:5000".parse().unwrap(),
        stand_in: "198.18.0.1".parse().unwrap(),
        table: 4000,
        mtu: 1500,
        syn_ttl: None,
        scope: Scope::OwnSyns,
    }
}

fn count(directory: &str) -> usize {
    fs::read_dir(directory).unwrap().count()
}

/// Returns the network namespaces that some thread of this process lives in or has open.
fn alive() -> BTreeSet<u64> {
    use std::os::unix::fs::MetadataExt;
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let namespaces = tasks.map(|task| task.unwrap().path().join("ns/net"));
    let open = fs::read_dir("/proc/self/fd").unwrap().map(|fd| fd.unwrap().path());
    namespaces.chain(open).filter_map(|path| Some(fs::metadata(path).ok()?.ino())).collect()
}
