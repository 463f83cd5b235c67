fn main() {
    tracing_subscriber::fmt().with_env_filter(std::env::var("L").unwrap_or("warn".into())).init();
    let spec = simopen_lab::demo::DemoSpec {
        leg: std::time::Duration::from_millis(
            std::env::args().nth(2).map_or(10, |x| x.parse().unwrap()),
        ),
        captures: None,
        entropy: simopen_packet::Entropy::new([3; 32]),
    };
    let cases = simopen_lab::demo::cases(&spec);
    let n: usize = std::env::args().nth(1).unwrap().parse().unwrap();
    let r = simopen_lab::attempt::run(&cases[n].attempt, &simopen_lab::cancel::Cancel::never())
        .unwrap();
    for e in &r.timeline {
        println!(
            "{:>10.3} {:6} {} {}",
            (e.at - r.requested).as_secs_f64() * 1e3 - (r.requested - e.at).as_secs_f64() * 1e3,
            e.host,
            e.event,
            e.packet.clone().unwrap_or_default()
        );
    }
    println!(
        "connected {} direct {:?} est {:?} legs {:?} cause {:?} {:?} lat {:?} drops {} lost {} built {:?}",
        r.connected,
        r.direct,
        r.established,
        r.legs,
        r.cause,
        r.delivered,
        r.lateness.summary(),
        r.tun_drops,
        r.events_lost,
        r.built_in
    );
}
