use super::super::{ServedIssuer, ServedKey, Site};
use super::*;

#[test]
fn issuers_keys_and_ages_come_from_the_site_at_scrape_time() {
    let metrics = Metrics::new();
    let key = ServedKey {
        kid: "Vx3k".into(),
        since: SystemTime::now() - Duration::from_hours(1),
    };
    let up = ServedIssuer {
        issuer: "https://a/\"x\"".into(),
        documents: Ok(Vec::new()),
        paths: Vec::new(),
        keys: vec![key],
    };
    let down = ServedIssuer {
        issuer: "https://b".into(),
        documents: Err("no key".into()),
        paths: Vec::new(),
        keys: Vec::new(),
    };
    let site = SiteHandle::new(Site::new(vec![up]).unwrap());
    metrics.attach(&site);
    let text = metrics.render();
    assert!(
        text.contains("irsa_issuer_up{issuer=\"https://a/\\\"x\\\"\"} 1\n"),
        "{text}"
    );
    assert!(
        text.contains("irsa_issuer_keys{issuer=\"https://a/\\\"x\\\"\"} 1\n"),
        "{text}"
    );
    assert!(text.contains("kid=\"Vx3k\"} 360"), "{text}");
    site.swap(Site::new(vec![down]).unwrap());
    let text = metrics.render();
    assert!(
        text.contains("irsa_issuer_up{issuer=\"https://b\"} 0\n"),
        "{text}"
    );
    assert!(!text.contains("https://a"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn every_counter_has_its_line() {
    let metrics = Metrics::new();
    metrics.reload_succeeded();
    metrics.reload_failed();
    metrics.reload_failed();
    metrics.certificate_reload_failed();
    metrics.certificate_expires(1_900_000_000);
    metrics.connection_opened();
    metrics.connection_ended_by_us(CloseReason::Evicted);
    metrics.observe(Duration::from_micros(30), 1);
    let text = metrics.render();
    for line in [
        "irsa_build_info{version=\"",
        "irsa_draining 0\n",
        "irsa_http_requests_total{issuer=\"\",document=\"none\",status=\"404\"} 0\n",
        "irsa_http_request_duration_seconds_bucket{le=\"0.00005\"} 1\n",
        "irsa_http_request_duration_seconds_bucket{le=\"+Inf\"} 1\n",
        "irsa_http_request_duration_seconds_count 1\n",
        "irsa_http_request_duration_seconds_sum 0.00003\n",
        "irsa_reloads_total{what=\"documents\",result=\"success\"} 1\n",
        "irsa_reloads_total{what=\"documents\",result=\"failure\"} 2\n",
        "irsa_reloads_total{what=\"certificate\",result=\"failure\"} 1\n",
        "irsa_connections_open 1\n",
        "irsa_connections_accepted_total 1\n",
        "irsa_connections_refused_total 0\n",
        "irsa_connections_ended_total{reason=\"evicted\"} 1\n",
        "irsa_tls_handshake_failures_total 0\n",
        "irsa_tls_certificate_expiry_timestamp_seconds 1900000000\n",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_kid_has_one_series_of_bounded_length_however_often_it_is_served() {
    let key = |kid: String| ServedKey {
        kid,
        since: SystemTime::now(),
    };
    let mut keys = vec![key("twice".into()), key("twice".into())];
    keys.extend((0..1_000).map(|at| key(format!("{}{at}", "é".repeat(100)))));
    keys.insert(0, key("k".repeat(5_000)));
    let issuer = ServedIssuer {
        issuer: "https://a".into(),
        documents: Ok(Vec::new()),
        paths: Vec::new(),
        keys,
    };
    let site = SiteHandle::new(Site::new(vec![issuer]).unwrap());
    let metrics = Metrics::new();
    metrics.attach(&site);
    let text = metrics.render();
    assert_eq!(text.matches("kid=\"twice\"").count(), 1);
    assert_eq!(text.matches("irsa_key_age_seconds{").count(), MAX_KEYS - 1);
    assert!(!text.contains(&"k".repeat(MAX_KID + 1)));
}
