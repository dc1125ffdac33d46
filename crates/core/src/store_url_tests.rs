use super::*;

fn issuer(text: &str) -> IssuerUrl {
    IssuerUrl::parse(text, TrailingSlash::Refuse).unwrap()
}

fn place(text: &str) -> S3Location {
    S3Location::parse(text).unwrap()
}

#[test]
fn places_are_read_and_printed() {
    for (text, bucket, prefix, shown) in [
        ("s3://abc", "abc", "", "s3://abc"),
        ("s3://abc/", "abc", "", "s3://abc"),
        (
            "s3://a-1/clusters/prod/",
            "a-1",
            "clusters/prod",
            "s3://a-1/clusters/prod",
        ),
    ] {
        let found = place(text);
        assert_eq!((found.bucket().as_str(), found.prefix()), (bucket, prefix));
        assert_eq!(found.to_string(), shown);
    }
    assert_eq!(place("s3://abc/x").key("keys.json"), "x/keys.json");
    assert_eq!(place("s3://abc").key("keys.json"), "keys.json");
    assert_eq!(
        place("s3://abc/x").below("/y").unwrap(),
        place("s3://abc/x/y")
    );
    assert_eq!(place("s3://abc").below("").unwrap(), place("s3://abc"));
}

#[test]
fn what_s3_or_a_url_would_not_accept_is_refused() {
    for text in [
        "abc",
        "s3:/abc",
        "s3://",
        "s3://ab",
        "s3://Abc",
        "s3://a_bc",
        "s3://-abc",
        "s3://abc-",
        "s3://xn--abc",
        "s3://abc-s3alias",
        "s3://a.b.c",
        "s3://abc//x",
        "s3://abc/../x",
        "s3://abc/a b",
        "s3://abc/%2e",
        "s3://abc/x//",
    ] {
        assert!(S3Location::parse(text).is_err(), "{text}");
    }
    let dotted = S3Location::parse("s3://my.bucket").unwrap_err();
    assert_eq!(dotted.to_string(), "bucket \"my.bucket\" has a dot");
    let help = dotted.help().unwrap();
    for part in [
        "wildcard certificate",
        "https://my.bucket.s3…",
        "like my-bucket",
    ] {
        assert!(help.contains(part), "{help}");
    }
}

#[test]
fn every_partition_has_its_own_names() {
    for (region, partition, url) in [
        (
            "eu-west-1",
            "aws",
            "https://abc.s3.eu-west-1.amazonaws.com/p",
        ),
        (
            "us-east-1",
            "aws",
            "https://abc.s3.us-east-1.amazonaws.com/p",
        ),
        (
            "cn-north-1",
            "aws-cn",
            "https://abc.s3.cn-north-1.amazonaws.com.cn/p",
        ),
        (
            "us-gov-west-1",
            "aws-us-gov",
            "https://abc.s3.us-gov-west-1.amazonaws.com/p",
        ),
        (
            "eusc-de-east-1",
            "aws-eusc",
            "https://abc.s3.eusc-de-east-1.amazonaws.eu/p",
        ),
    ] {
        assert_eq!(Partition::of_region(region).name, partition);
        let derived = place("s3://abc/p")
            .issuer(region, Addressing::Virtual)
            .unwrap();
        assert_eq!(derived.as_str(), url);
        let found = S3Issuer::recognise(&derived).unwrap();
        assert_eq!(
            (found.location, found.region.as_deref()),
            (place("s3://abc/p"), Some(region))
        );
        let arn = place("s3://abc/p").object_arn(Partition::of_region(region), "keys.json");
        assert_eq!(arn, format!("arn:{partition}:s3:::abc/p/keys.json"));
    }
}

#[test]
fn every_form_of_s3_is_recognised() {
    for (url, region, addressing) in [
        (
            "https://abc.s3.eu-west-1.amazonaws.com/p/q",
            Some("eu-west-1"),
            Addressing::Virtual,
        ),
        (
            "https://abc.s3-eu-west-1.amazonaws.com/p/q",
            Some("eu-west-1"),
            Addressing::Virtual,
        ),
        (
            "https://abc.s3.dualstack.eu-west-1.amazonaws.com/p/q",
            Some("eu-west-1"),
            Addressing::Virtual,
        ),
        (
            "https://abc.s3-fips.us-gov-west-1.amazonaws.com/p/q",
            Some("us-gov-west-1"),
            Addressing::Virtual,
        ),
        (
            "https://abc.s3.amazonaws.com/p/q",
            None,
            Addressing::Virtual,
        ),
        (
            "https://s3.eu-west-1.amazonaws.com/abc/p/q",
            Some("eu-west-1"),
            Addressing::Path,
        ),
        (
            "https://s3-eu-west-1.amazonaws.com/abc/p/q",
            Some("eu-west-1"),
            Addressing::Path,
        ),
        (
            "https://s3.dualstack.eu-west-1.amazonaws.com/abc/p/q",
            Some("eu-west-1"),
            Addressing::Path,
        ),
        (
            "https://s3.cn-north-1.amazonaws.com.cn/abc/p/q",
            Some("cn-north-1"),
            Addressing::Path,
        ),
        ("https://s3.amazonaws.com/abc/p/q", None, Addressing::Path),
    ] {
        let found = S3Issuer::recognise(&issuer(url)).unwrap_or_else(|| panic!("{url}"));
        assert_eq!(found.location, place("s3://abc/p/q"), "{url}");
        assert_eq!(
            (found.region.as_deref(), found.addressing),
            (region, addressing),
            "{url}"
        );
    }
    for url in [
        "https://oidc.example.com/abc",
        "https://abc.s3.example.com",
        "https://abc.s3-website-eu-west-1.amazonaws.com",
        "https://abc.s3-accelerate.amazonaws.com",
        "https://sts.eu-west-1.amazonaws.com/abc",
        "https://s3.amazonaws.com",
        "https://my.bucket.s3.eu-west-1.amazonaws.com",
        "https://abc.s3.eu-west-1.amazonaws.com.example.com/p",
    ] {
        assert_eq!(S3Issuer::recognise(&issuer(url)), None, "{url}");
    }
}

#[test]
fn an_issuer_elsewhere_is_refused_and_an_own_domain_is_not() {
    let here = place("s3://abc/p");
    for url in [
        "https://abc.s3.eu-west-1.amazonaws.com/p",
        "https://s3-eu-west-1.amazonaws.com/abc/p",
        "https://abc.s3.amazonaws.com/p",
    ] {
        assert_eq!(here.answers(&issuer(url), "eu-west-1"), Ok(true), "{url}");
    }
    assert_eq!(
        here.answers(&issuer("https://oidc.example.com/p"), "eu-west-1"),
        Ok(false)
    );
    for (url, what) in [
        ("https://abd.s3.eu-west-1.amazonaws.com/p", "bucket"),
        ("https://abc.s3.eu-west-1.amazonaws.com/q", "prefix"),
        ("https://abc.s3.eu-west-1.amazonaws.com", "prefix"),
        ("https://abc.s3.eu-west-2.amazonaws.com/p", "Region"),
    ] {
        match here.answers(&issuer(url), "eu-west-1") {
            Err(StoreUrlError::Elsewhere { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[test]
fn a_custom_endpoint_has_the_bucket_in_its_path() {
    let derived = place("s3://abc/p")
        .issuer_at("https://localhost:8443/")
        .unwrap();
    assert_eq!(derived.as_str(), "https://localhost:8443/abc/p");
    assert!(
        place("s3://abc")
            .issuer_at("http://minio.example.com")
            .is_err()
    );
}
