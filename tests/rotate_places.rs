//! Where a rotation keeps things, and what is left of a place that is not the right one.

use crate::rotate::{lonely, nobody};
use crate::rotate_timers::ring;
use crate::util::Home;

#[test]
fn a_place_of_private_keys_that_is_mistyped_is_not_made() {
    let home = Home::new();
    let kubeconfig = nobody(&home);
    let run = |keys| {
        let words = [
            "--issuer",
            "https://h/a",
            "--state",
            "keys",
            "--private-keys",
            keys,
            "--to",
            "dir:www",
        ];
        home.irsa(&lonely(&kubeconfig, &words)).any();
    };
    ring(&home, r#""keys_place": "first""#);
    run("mistyped");
    assert!(!home.path("mistyped").exists());
    // The one that the ring knows is taken, also where only its name is left.
    home.write("right/place", "first\n");
    run("right");
    assert!(home.path("right/issuer").exists());
    assert_eq!(home.read("right/place"), "first\n");
}
