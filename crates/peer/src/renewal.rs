//! Another certificate in time.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use simopen_protocol::control::{Action, Certificate, Reply};
use tracing::{info, warn};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::credentials::CurrentCredentials;
use crate::link::Link;
use crate::news::{News, NewsDesk};

/// How long it is waited at most before the clock is looked at again: it may have been set.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// How long it is waited after the broker gave none.
const TRY_AGAIN: Duration = Duration::from_secs(600);

/// Asks the broker for another certificate whenever a third of the life is left, until the link is
/// gone.
pub(crate) async fn keep_renewed(credentials: CurrentCredentials, link: Link, news: NewsDesk) {
    loop {
        let rest = match due_in(&credentials.now().certificate, SystemTime::now()) {
            Some(Duration::ZERO) if renew(&credentials, &link, &news).await => continue,
            Some(Duration::ZERO) | None => TRY_AGAIN,
            Some(rest) => rest.min(LOOK_AGAIN),
        };
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            () = link.lost() => return,
        }
    }
}

/// Whether there is another certificate now, which lasts longer.
async fn renew(credentials: &CurrentCredentials, link: &Link, news: &NewsDesk) -> bool {
    let Some(response) = link.ask(Action::Certificate).await else {
        return false;
    };
    let Ok(Reply::Certified(Some(certificate))) = response.result else {
        warn!(result = ?response.result, "the broker gave no other certificate");
        return false;
    };
    if expiry(&certificate) <= expiry(&credentials.now().certificate) {
        return false;
    }
    info!("the device's certificate was renewed");
    credentials.renew(certificate.clone());
    news.tell(News::Renewed(certificate));
    true
}

/// How long it is until a third of a certificate's life is left, which is when its holder asks for
/// another: zero where that is past. `None` where the certificate cannot be read.
#[must_use]
pub fn due_in(certificate: &Certificate, now: SystemTime) -> Option<Duration> {
    let (from, until) = validity(certificate)?;
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    Some((until - until.saturating_sub(from) / 3).saturating_sub(now))
}

fn expiry(certificate: &Certificate) -> Option<Duration> {
    validity(certificate).map(|(_, until)| until)
}

/// From when until when it is good, since 1970 (UTC).
fn validity(certificate: &Certificate) -> Option<(Duration, Duration)> {
    let (_, parsed) = X509Certificate::from_der(&certificate.0).ok()?;
    let seconds = |time: i64| u64::try_from(time).ok().map(Duration::from_secs);
    let validity = parsed.validity();
    Some((seconds(validity.not_before.timestamp())?, seconds(validity.not_after.timestamp())?))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate() -> Certificate {
        let mut params = CertificateParams::new(vec!["x.simopen".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = date_time_ymd(2030, 1, 31);
        let key = KeyPair::generate().unwrap();
        Certificate(params.self_signed(&key).unwrap().der().to_vec())
    }

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let (from, until) = validity(&certificate()).unwrap();
        let life = until - from;
        assert_eq!(life, Duration::from_secs(30 * 24 * 3600));
        let due = |since: Duration| due_in(&certificate(), UNIX_EPOCH + from + since);
        assert_eq!(due(Duration::ZERO), Some(life * 2 / 3));
        assert_eq!(due(life * 2 / 3), Some(Duration::ZERO));
        assert_eq!(due(life * 2), Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_certificate_is_never_due() {
        assert_eq!(due_in(&Certificate(vec![1, 2, 3]), SystemTime::now()), None);
    }
}
