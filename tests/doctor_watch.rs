use crate::doctor_site::{SUBJECT, Site};
use crate::tls::free_port;
use crate::util::{eventually, get, get_of};

#[test]
fn a_watch_tells_what_changes_and_ends_when_it_is_asked() {
    let site = Site::new();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let more = ["--watch", "--every", "200ms", "--metrics-listen", &address];
    let server = site.irsa(&more).start();
    let page = || -> Option<String> {
        std::net::TcpStream::connect(&address).ok()?;
        let (head, body) = get(&address, "/readyz");
        (head.starts_with("HTTP/1.1 200") && body == "ok\n").then(|| get(&address, "/metrics").1)
    };
    let metrics = eventually("the first look", page);
    let state = |check: &str, value: u8| {
        format!(
            "irsa_doctor_check_state{{issuer=\"{}\",check=\"{check}\"}} {value}",
            site.issuer
        )
    };
    assert!(metrics.contains(&state("trust", 0)), "{metrics}");
    site.trust("x");
    eventually("the failure", || {
        page().filter(|page| page.contains(&state("trust", 3)))
    });
    server.wait_for("check=\"trust\"");
    site.trust(SUBJECT);
    eventually("its end", || {
        page().filter(|page| page.contains(&state("trust", 0)))
    });
    // One file that cannot be read any more does not hide the rest.
    std::fs::remove_file(site.home.path("token")).unwrap();
    server.wait_for("No such file");
    site.iam.lock().unwrap().provider = None;
    eventually("the failure without a token", || {
        page().filter(|page| page.contains(&state("provider", 3)))
    });
    assert!(get(&address, "/livez").0.starts_with("HTTP/1.1 200"));
    assert!(get(&address, "/other").0.starts_with("HTTP/1.1 404"));
    // As every port of ours on loopback: not under the name of somebody's web page.
    let elsewhere = get_of("evil.example", &address, "/metrics");
    assert!(elsewhere.0.starts_with("HTTP/1.1 421"), "{elsewhere:?}");
    server.signal("TERM");
    let (reports, code) = server.finish();
    assert_eq!(code, Some(0));
    // The lost token may be seen with the lost provider at once.
    let told = reports.matches(" failure(s), ").count();
    assert!((4..=5).contains(&told), "{reports}");
}
