//! How squid is set up wherever one is started, in a lab or on loopback.

use std::path::Path;

/// A configuration: where it listens (`[ADDRESS:]PORT`), whom it lets through (its lines of `acl`
/// and `http_access`), and the directory that has its logs. It keeps nothing and asks nobody.
#[must_use]
pub fn configuration(listen: &str, rules: &str, files: &Path) -> String {
    let files = files.display();
    format!(
        "http_port {listen}\n\
         visible_hostname proxy\n\
         {rules}\
         cache deny all\n\
         cache_store_log none\n\
         access_log stdio:{files}/access.log\n\
         cache_log {files}/cache.log\n\
         pid_filename {files}/pid\n\
         coredump_dir {files}\n\
         netdb_filename none\n\
         pinger_enable off\n\
         max_filedescriptors 1024\n\
         shutdown_lifetime 0 seconds\n\
         connect_timeout 5 seconds\n\
         dns_nameservers 127.0.0.1\n"
    )
}
