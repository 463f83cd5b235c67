//! What a specification makes visible: its text, where one axis bounds another.

use std::time::Duration;

use serde_json::Value;
use simopen_nat::{Egress, Filtering, IdleKiller, Mapping, MiddleboxSpec, PortOverloading, Role};

use super::axis::Axis;
use super::reading::in_text;

/// What must be read of an axis of a box that is specified so.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not bounded by another axis stands in the text, also in those to come"
)]
pub(super) fn expected(axis: Axis, spec: &MiddleboxSpec) -> Value {
    let timers = &spec.timers;
    let idle = spec.idle_killer.map_or(Duration::MAX, |killer: IdleKiller| killer.after);
    let established = timers.established.min(idle);
    let unacknowledged = timers.unacknowledged;
    match axis {
        Axis::Egress => in_text(ordered(spec.egress)),
        Axis::Filtering => in_text(filtering(spec, spec.filtering, spec.mapping)),
        Axis::UdpFiltering => in_text(filtering(spec, spec.udp.filtering, spec.udp.mapping)),
        Axis::PoolAddresses => in_text(spec.pool.addresses.max(1)),
        Axis::Established => in_text(established),
        // While a SYN, bytes or a FIN wait for their acknowledgement.
        Axis::SynSent => in_text(timers.syn_sent.min(unacknowledged)),
        Axis::FinWait => in_text(timers.fin_wait.min(unacknowledged)),
        Axis::LastAck => in_text(timers.last_ack.min(unacknowledged)),
        Axis::Unacknowledged => in_text(established.min(unacknowledged)),
        Axis::Retransmitting => in_text(established.min(timers.retransmitting)),
        _ => axis.of(spec),
    }
}

/// Where a mapping belongs to one remote address or endpoint, nobody else's packets find it.
fn filtering(spec: &MiddleboxSpec, filtering: Filtering, mapping: Mapping) -> Filtering {
    use Filtering::{AddressAndPortDependent, AddressDependent, EndpointIndependent};
    if spec.role != Role::Nat || spec.port_overloading == PortOverloading::Off {
        return filtering;
    }
    match (mapping, filtering) {
        (Mapping::AddressAndPortDependent, _) => AddressAndPortDependent,
        (Mapping::AddressDependent, EndpointIndependent) => AddressDependent,
        (_, filtering) => filtering,
    }
}

/// The list in the order of the ports, each once.
fn ordered(egress: Egress) -> Egress {
    let Egress::DenyExcept(mut ports) = egress else { return egress };
    ports.sort_unstable();
    let mut listed: Vec<u16> = ports.into_iter().filter(|port| *port != 0).collect();
    listed.dedup();
    listed.resize(ports.len(), 0);
    <[u16; 4]>::try_from(listed).map_or(egress, Egress::DenyExcept)
}

/// Whether one value is a longer time than another.
pub(super) fn lasts_longer(value: &Value, than: &Value) -> bool {
    let time = |value: &Value| serde_json::from_value::<Duration>(value.clone()).ok();
    matches!((time(value), time(than)), (Some(value), Some(than)) if value > than)
}
