//! What the endpoint was told about other places of its documents and about the rotation.

use std::fmt;

use jiff::Timestamp;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::MetricType;

use crate::serve::status::{Agreement, Board};

pub(super) fn encode(
    board: &Board,
    out: &mut DescriptorEncoder<'_>,
    now: Timestamp,
) -> fmt::Result {
    encode_sinks(board, out, now)?;
    encode_rotations(board, out)
}

fn encode_sinks(board: &Board, out: &mut DescriptorEncoder<'_>, now: Timestamp) -> fmt::Result {
    let sinks = board.sinks();
    if sinks.is_empty() {
        return Ok(());
    }
    let help = "1 if a sink holds the keys that are served here, 0 if it holds others";
    let mut family = out.encode_descriptor("sink_agrees", help, None, MetricType::Gauge)?;
    for look in sinks.iter() {
        let agrees = match look.found {
            Agreement::Agrees => 1,
            Agreement::Differs { .. } => 0,
            // Nobody knows: not a difference, and not an agreement either.
            Agreement::Unreadable(_) => continue,
        };
        let labels = [
            ("issuer", look.issuer.as_str()),
            ("sink", look.sink.as_str()),
        ];
        family.encode_family(&labels)?.encode_gauge(&agrees)?;
    }
    let help = "1 if a sink could be read at the last look";
    let mut family = out.encode_descriptor("sink_readable", help, None, MetricType::Gauge)?;
    for look in sinks.iter() {
        let readable = u64::from(!matches!(look.found, Agreement::Unreadable(_)));
        let labels = [
            ("issuer", look.issuer.as_str()),
            ("sink", look.sink.as_str()),
        ];
        family.encode_family(&labels)?.encode_gauge(&readable)?;
    }
    let help = "Seconds since a sink was last looked at";
    let mut family =
        out.encode_descriptor("sink_look_age_seconds", help, None, MetricType::Gauge)?;
    for look in sinks.iter() {
        let age = now.duration_since(look.at).as_secs().max(0);
        let labels = [
            ("issuer", look.issuer.as_str()),
            ("sink", look.sink.as_str()),
        ];
        family.encode_family(&labels)?.encode_gauge(&age)?;
    }
    Ok(())
}

fn encode_rotations(board: &Board, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let rotations = board.rotations();
    if rotations.is_empty() {
        return Ok(());
    }
    let help = "When the key ring was last saved, in Unix time";
    let name = "rotation_saved_timestamp_seconds";
    let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for rotation in rotations.iter() {
        family
            .encode_family(&[("issuer", rotation.issuer.as_str())])?
            .encode_gauge(&rotation.written.as_second())?;
    }
    let help = "When the next thing may happen to a key at the earliest, in Unix time";
    let name = "rotation_gate_timestamp_seconds";
    let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for rotation in rotations.iter() {
        for key in &rotation.keys {
            let Some(opens) = key.opens else {
                continue;
            };
            let labels = [
                ("issuer", rotation.issuer.as_str()),
                ("kid", key.kid.as_str()),
                ("state", key.state.as_str()),
            ];
            family
                .encode_family(&labels)?
                .encode_gauge(&opens.as_second())?;
        }
    }
    let help = "1 for a key that is in foreign hands";
    let name = "rotation_key_compromised";
    let mut family = out.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for rotation in rotations.iter() {
        for key in rotation.keys.iter().filter(|key| key.compromised) {
            let labels = [
                ("issuer", rotation.issuer.as_str()),
                ("kid", key.kid.as_str()),
            ];
            family.encode_family(&labels)?.encode_gauge(&1)?;
        }
    }
    Ok(())
}
