//! Joining, logging in and out, and holding back who guesses.

use core::net::IpAddr;

use simopen_packet::Timestamp;
use simopen_protocol::cause::Cause;
use simopen_protocol::control::{
    Action, ErrorName, Head, Join, Joined, KeyFingerprint, LoggedIn, Login, Reply, Request,
};
use simopen_protocol::identity::{DeviceName, PeerId, UserId};

use super::changing::Plan;
use super::{Broker, Phase, Transmit, refusal};
use crate::deadline::Due;
use crate::directory::{Change, Device, DeviceKind, Invited, RELAY, SecretHash, Standing};
use crate::event::What;
use crate::guess::Verdict;
use crate::link::{Held, HeldBack, LinkId, LinkKind, Peer, Watch};

/// The words of failures that a guess can meet: their answers are held back.
const GUESSES: [&str; 2] = ["not-authenticated", "not-invited"];

impl Broker {
    /// `Login` and `Join`. Where somebody at the link's source has guessed, the request waits.
    pub(super) fn enter(&mut self, link: LinkId, request: Request, now: Timestamp) {
        let Some(known) = self.links.get(&link) else {
            return;
        };
        let source = known.origin.remote.ip();
        if known.kind != LinkKind::Fresh {
            return self.respond(link, request.head(), Err(refusal("already-logged-in")));
        }
        if known.held.is_some() || known.waiting > 0 {
            return self.respond(link, request.head(), Err(refusal("too-many-attempts")));
        }
        if self.phase == Phase::Restarting {
            return self.respond(link, request.head(), Err(refusal("restarting")));
        }
        // A key is not guessed.
        if known.origin.key.is_none() {
            match self.guessers.verdict(source, now, &self.config.limits) {
                Verdict::Now => {}
                Verdict::At(at) => {
                    return self.hold(link, source, at, HeldBack::Request(request));
                }
                Verdict::TooMany => {
                    self.respond(link, request.head(), Err(refusal("too-many-attempts")));
                    return self.transmits.push_back(Transmit::Close(link));
                }
            }
        }
        let head = request.head();
        if let Action::Login(login) = &request.action {
            match self.login(link, login, now) {
                Ok(logged_in) => {
                    let peer = logged_in.peer;
                    self.respond(link, head, Ok(Reply::LoggedIn(logged_in)));
                    self.next_page(peer);
                }
                Err(error) => self.refuse_entry(link, head, error, now),
            }
        } else if let Err(error) = self.submit(link, head.clone(), request.action, now) {
            self.respond(link, head, Err(error));
        }
    }

    /// Refuses a login or a join; the answer to a guess comes late.
    pub(super) fn refuse_entry(
        &mut self,
        link: LinkId,
        head: Head,
        error: ErrorName,
        now: Timestamp,
    ) {
        let source = self.links.get(&link).map(|link| link.origin.remote.ip());
        let Some(source) = source.filter(|_| GUESSES.contains(&error.0.as_str())) else {
            return self.respond(link, head, Err(error));
        };
        self.count_refusal(&error);
        self.event(now, What::EntryRefused { source });
        let at = self.guessers.failed(source, now, &self.config.limits);
        self.hold(link, source, at, HeldBack::Refusal(head, error));
    }

    /// The moment has come for what was held back on a link.
    pub(super) fn release(&mut self, link: LinkId, now: Timestamp) {
        let Some(known) = self.links.get_mut(&link) else {
            return;
        };
        let Some(held) = known.held.take() else {
            return;
        };
        self.guessers.hold(known.origin.remote.ip(), -1);
        match held.what {
            HeldBack::Request(request) => self.enter(link, request, now),
            HeldBack::Refusal(head, error) => self.respond_counted(link, head, Err(error)),
        }
    }

    fn hold(&mut self, link: LinkId, source: IpAddr, at: Timestamp, what: HeldBack) {
        let due = self.deadlines.insert(at, Due::Held(link));
        if let Some(link) = self.links.get_mut(&link) {
            link.held = Some(Held { due, what });
            self.guessers.hold(source, 1);
        }
    }

    fn login(
        &mut self,
        link: LinkId,
        login: &Login,
        now: Timestamp,
    ) -> Result<LoggedIn, ErrorName> {
        let user = &login.user;
        let key = self.links.get(&link).and_then(|link| link.origin.key);
        let device = self.authenticate(login, key)?;
        if self.is_barred(user, device.as_ref()) {
            return Err(Cause::Revoked.into());
        }
        if self.peers_of(user).count() >= self.config.limits.peers_per_user {
            return Err(refusal("too-many-peers"));
        }
        let id = PeerId(self.random_number());
        let probe_secret = self.random_token();
        self.logins += 1;
        self.stats.logins += 1;
        let (online, listing) = self.first_presences(id, user);
        let told = What::LoggedIn { peer: id, user: user.clone(), device: device.clone() };
        let peer = Peer {
            user: user.clone(),
            device,
            reachable: login.reachable,
            link,
            probe_secret,
            since: now,
            heard: now,
            watch: Watch::Listening,
            silence: None,
            sessions: [].into(),
            asked_for: 0,
            shares: [].into(),
            listing: Some(listing),
            login: self.logins,
            proofs: [].into(),
        };
        self.announce(id, &peer, true);
        self.event(now, told);
        self.peers.insert(id, peer);
        self.online.entry(user.clone()).or_default().insert(id);
        if let Some(link) = self.links.get_mut(&link) {
            link.kind = LinkKind::Control(id);
        }
        if let Some(alive) = self.config.alive {
            self.watch(id, now + alive);
        }
        Ok(LoggedIn { peer: id, probe_secret, alive: self.config.alive, online })
    }

    /// By a key where the link has one, else by the secret. What is wrong is not told apart, but
    /// that somebody with the right key was revoked.
    fn authenticate(
        &self,
        login: &Login,
        key: Option<KeyFingerprint>,
    ) -> Result<Option<DeviceName>, ErrorName> {
        let unknown = || refusal("not-authenticated");
        let Some(key) = key else {
            let is_right = login
                .secret
                .is_some_and(|secret| self.directory.authenticates(&login.user, &secret));
            return if is_right { Ok(None) } else { Err(unknown()) };
        };
        let device = self.directory.device(&key).ok_or_else(unknown)?;
        if device.user != login.user || device.kind != DeviceKind::Peer {
            return Err(unknown());
        }
        let standings = [Some(device.standing), self.directory.standing(&device.user)];
        if standings != [Some(Standing::Good); 2] {
            return Err(Cause::Revoked.into());
        }
        Ok(Some(device.name.clone()))
    }

    /// An invitation is good once and until its time. A device that did not hear the answer may
    /// ask again: the same secret with the same key is the same device.
    pub(super) fn judge_join(&self, join: &Join) -> Result<Plan<Reply>, ErrorName> {
        let hash = SecretHash::of(&join.secret);
        let fingerprint = join.key.fingerprint();
        let joined = |user: UserId| {
            let broker = self.config.name.clone();
            Reply::Joined(Joined { user, broker, authority: None, certificate: None })
        };
        let known = self.directory.device(&fingerprint);
        if let Some(device) = known
            && device.invited_by == Some(hash)
            && device.standing == Standing::Good
        {
            return Ok(Plan::nothing(joined(device.user.clone())));
        }
        let invitation = self.directory.invitation(&hash).filter(|known| known.until >= self.wall);
        let invitation = invitation.ok_or_else(|| refusal("not-invited"))?;
        let (user, kind) = match &invitation.invited {
            Invited::User(user) => (user.clone(), DeviceKind::Peer),
            Invited::Relay => {
                let relay = RELAY.parse().map_err(|_| refusal("not-invited"))?;
                (relay, DeviceKind::Relay)
            }
        };
        if self.is_barred(&user, None) {
            return Err(refusal("not-invited"));
        }
        if known.is_some_and(|known| known.user != user || known.standing == Standing::Revoked) {
            return Err(refusal("key-in-use"));
        }
        let holder = self.directory.device_called(&user, &join.device);
        if holder.is_some_and(|holder| holder.key != join.key) {
            return Err(refusal("device-exists"));
        }
        let devices = self.directory.devices_of(&user).count();
        if known.is_none() && devices >= self.config.limits.devices_per_user {
            return Err(refusal("too-many-devices"));
        }
        let device = Device {
            user: user.clone(),
            name: join.device.clone(),
            key: join.key.clone(),
            kind,
            joined: self.wall,
            invited_by: Some(hash),
            standing: Standing::Good,
        };
        let changes = [Change::InvitationGone(hash), Change::Device(device)].into();
        Ok(Plan { changes, reply: joined(user) })
    }

    /// A new certificate for the key of the device on this link; the service that signs puts it in.
    pub(super) fn certify(&self, link: LinkId) -> Result<Reply, ErrorName> {
        self.peer_on(link)?;
        self.device_on(link).ok_or_else(|| refusal("no-device"))?;
        Ok(Reply::Certified(None))
    }

    pub(super) fn logout(
        &mut self,
        link: LinkId,
        head: Head,
        now: Timestamp,
    ) -> Result<(), ErrorName> {
        let peer = self.peer_on(link)?;
        self.respond(link, head, Ok(Reply::Done));
        self.dismiss(peer, Cause::LinkLost, now);
        Ok(())
    }
}
