//! New documents while clients ask: every answer is one document, whole.

use irsa_issuer::serve::{Limits, Site};

use super::running::{GET, ISSUER, Running, ask, down, up};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_whole_while_the_site_is_swapped() {
    let server = Running::start(Limits::default(), None).await;
    let site = server.site.clone();
    let swapping = tokio::spawn(async move {
        for round in 0..2_000_usize {
            let body = format!("{}", round % 10).repeat(1 + 100 * (round % 10));
            site.swap(Site::new(vec![up(&body), down()]).unwrap());
            if round % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut io = server.connect().await;
    let mut tags = std::collections::HashMap::new();
    while !swapping.is_finished() {
        let reply = ask(&mut io, GET).await;
        let etag = reply.header("etag").unwrap().to_owned();
        assert_eq!(
            tags.entry(etag).or_insert_with(|| reply.body.clone()),
            &reply.body
        );
    }
    swapping.await.unwrap();
    let last = ask(&mut io, GET).await;
    assert_eq!(last.body, "9".repeat(901));
}

#[tokio::test]
async fn one_issuer_can_come_and_go_beside_another() {
    let server = Running::start(Limits::default(), None).await;
    assert_eq!(server.ask(GET).await.status, 200);
    let mut broken = up("{}");
    broken.documents = Err("the key file is empty".into());
    server.site.swap(Site::new(vec![broken]).unwrap());
    assert_eq!(server.ask(GET).await.status, 503);
    server.site.swap(Site::new(vec![down()]).unwrap());
    assert_eq!(server.ask(GET).await.status, 404);
    server.site.swap(Site::new(vec![up("{}"), down()]).unwrap());
    assert_eq!(server.ask(GET).await.body, "{}");
    let up_line = format!("irsa_issuer_up{{issuer=\"{ISSUER}\"}}");
    assert!((server.metric(&up_line) - 1.0).abs() < 0.1);
}
