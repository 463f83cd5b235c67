//! The kernel's table of tracked connections, as far as an experiment has to touch it.

use crate::error::{Context, DeviceError};
use crate::netlink::{Netlink, Request};

/// The connection table of one network namespace.
///
/// It keeps working when it is used from a thread in another namespace.
#[derive(Debug)]
pub struct Conntrack(Netlink);

impl Conntrack {
    /// Opens the table of the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// Fails where the kernel has no netfilter netlink.
    pub fn open() -> Result<Self, DeviceError> {
        Netlink::open(libc::NETLINK_NETFILTER).on("socket AF_NETLINK", "netfilter").map(Self)
    }

    /// Forgets every connection, of either IP version.
    ///
    /// # Errors
    ///
    /// Fails without CAP_NET_ADMIN in the namespace, and where the kernel has no ctnetlink.
    pub fn flush(&self) -> Result<(), DeviceError> {
        // struct nfgenmsg: AF_UNSPEC, version 0, no resource; without a tuple it means all.
        let request = Request::new(DELETE_ENTRIES, 0, &[0; 4]);
        self.0.change(request).on("netlink", "conntrack")
    }
}

/// Of linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h: IPCTNL_MSG_CT_DELETE of
/// NFNL_SUBSYS_CTNETLINK.
const DELETE_ENTRIES: u16 = (1 << 8) | 2;
