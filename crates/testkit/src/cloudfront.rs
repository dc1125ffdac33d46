//! A double of `CloudFront`, written from its documented rules: every change says which version it replaces, only what is
//! disabled everywhere is deleted, a host name belongs to one distribution, and edges have a change some time later.

use std::collections::BTreeMap;

use http::Method;

use crate::s3::ACCOUNT;
use crate::web::{Answer, Request};

/// Where all its paths begin.
pub(crate) const PREFIX: &str = "/2020-05-31/";

/// A distribution.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// What is in its `DistributionConfig`, as XML.
    pub config: String,
    /// What is in its `Tags`, as XML.
    pub tags: String,
    /// Whether every edge has it: from the first time on that somebody asks for it alone.
    pub deployed: bool,
    version: usize,
}

/// What the double remembers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudFront {
    /// Distributions by ID.
    pub distributions: BTreeMap<String, Distribution>,
    /// Names of origin access controls by ID.
    pub access_controls: BTreeMap<String, String>,
    made: usize,
}

type Refusal = (u16, &'static str);

impl Distribution {
    /// The text of the first element of this name in its configuration.
    pub fn text(&self, name: &str) -> &str {
        element(&self.config, name).unwrap_or_default()
    }

    fn aliases(&self) -> Vec<&str> {
        let aliases = element(&self.config, "Aliases").unwrap_or_default();
        let parts = aliases.split("<CNAME>").skip(1);
        parts.filter_map(|part| part.split('<').next()).collect()
    }

    fn tag(&self, id: &str) -> String {
        format!("{id}V{}", self.version)
    }

    fn head(&self, id: &str) -> String {
        let status = if self.deployed {
            "Deployed"
        } else {
            "InProgress"
        };
        format!(
            "<Id>{id}</Id><ARN>{}</ARN><Status>{status}</Status><LastModifiedTime>2020-01-01T00:00:00Z</LastModifiedTime>\
             <DomainName>{}</DomainName>",
            arn(id),
            domain(id)
        )
    }

    fn whole(&self, id: &str, status: u16) -> Answer {
        let body = format!(
            "<Distribution>{}<InProgressInvalidationBatches>0</InProgressInvalidationBatches>\
             <DistributionConfig>{}</DistributionConfig></Distribution>",
            self.head(id),
            self.config
        );
        tagged(status, body, self.tag(id))
    }
}

/// The ARN of a distribution.
pub fn arn(id: &str) -> String {
    format!("arn:aws:cloudfront::{ACCOUNT}:distribution/{id}")
}

/// The host of a distribution.
pub fn domain(id: &str) -> String {
    format!("{}.cloudfront.net", id.to_lowercase())
}

impl CloudFront {
    pub(crate) fn answer(&mut self, request: &Request) -> Answer {
        let path = request.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let parts: Vec<&str> = path.split('/').collect();
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let tag = request.header("if-match");
        let done = match (&request.method, parts.as_slice()) {
            (&Method::GET, ["origin-access-control"]) => Ok(self.list_access_controls()),
            (&Method::POST, ["origin-access-control"]) => self.create_access_control(&body),
            (method, ["origin-access-control", id]) => self.access_control(method, id),
            (&Method::GET, ["distribution"]) => Ok(self.list()),
            (&Method::POST, ["distribution"]) => self.create(&body),
            (&Method::GET, ["distribution", id]) => self.look(id),
            (&Method::DELETE, ["distribution", id]) => self.delete(id, tag),
            (&Method::GET, ["distribution", id, "config"]) => self.config(id),
            (&Method::PUT, ["distribution", id, "config"]) => self.update(id, tag, &body),
            (&Method::GET, ["tagging"]) => self.tags(request.uri.query().unwrap_or_default()),
            _ => Err((400, "InvalidArgument")),
        };
        done.unwrap_or_else(|(status, code)| {
            let text = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>by the double</Message></Error></ErrorResponse>"
            );
            Answer::new(status, text)
        })
    }

    fn list_access_controls(&self) -> Answer {
        let one = |(id, name): (&String, &String)| {
            format!(
                "<OriginAccessControlSummary><Id>{id}</Id><Description/><Name>{name}</Name><SigningProtocol>sigv4</SigningProtocol>\
                 <SigningBehavior>always</SigningBehavior><OriginAccessControlOriginType>s3</OriginAccessControlOriginType>\
                 </OriginAccessControlSummary>"
            )
        };
        list(
            "OriginAccessControlList",
            self.access_controls.iter().map(one).collect(),
        )
    }

    fn create_access_control(&mut self, body: &str) -> Result<Answer, Refusal> {
        let name = element(body, "Name").unwrap_or_default().to_owned();
        if self.access_controls.values().any(|one| *one == name) {
            return Err((409, "OriginAccessControlAlreadyExists"));
        }
        self.made += 1;
        let id = format!("O{}", self.made);
        self.access_controls.insert(id.clone(), name.clone());
        Ok(shown(&id, &name, 201))
    }

    fn access_control(&mut self, method: &Method, id: &str) -> Result<Answer, Refusal> {
        let found = self.access_controls.get(id);
        let name = found.ok_or((404, "NoSuchOriginAccessControl"))?;
        if method == Method::GET {
            return Ok(shown(id, name, 200));
        }
        let used = format!("<OriginAccessControlId>{id}<");
        if self
            .distributions
            .values()
            .any(|one| one.config.contains(&used))
        {
            return Err((409, "OriginAccessControlInUse"));
        }
        self.access_controls.remove(id);
        Ok(Answer::new(204, ""))
    }

    fn list(&self) -> Answer {
        let one = |(id, found): (&String, &Distribution)| {
            format!(
                "<DistributionSummary>{}{}</DistributionSummary>",
                found.head(id),
                found.config
            )
        };
        list(
            "DistributionList",
            self.distributions.iter().map(one).collect(),
        )
    }

    fn create(&mut self, body: &str) -> Result<Answer, Refusal> {
        let config = element(body, "DistributionConfig").unwrap_or_default();
        let made = Distribution {
            config: config.to_owned(),
            tags: element(body, "Tags").unwrap_or_default().to_owned(),
            ..Distribution::default()
        };
        let reference = made.text("CallerReference");
        if self
            .distributions
            .values()
            .any(|one| one.text("CallerReference") == reference)
        {
            return Err((409, "DistributionAlreadyExists"));
        }
        self.free("", &made)?;
        self.made += 1;
        let id = format!("E{}", self.made);
        let answer = made.whole(&id, 201);
        self.distributions.insert(id, made);
        Ok(answer)
    }

    /// A host name belongs to one distribution.
    fn free(&self, id: &str, wanted: &Distribution) -> Result<(), Refusal> {
        let others = self.distributions.iter().filter(|(other, _)| *other != id);
        let taken: Vec<&str> = others.flat_map(|(_, one)| one.aliases()).collect();
        if wanted.aliases().iter().any(|alias| taken.contains(alias)) {
            return Err((409, "CNAMEAlreadyExists"));
        }
        Ok(())
    }

    fn look(&mut self, id: &str) -> Result<Answer, Refusal> {
        let found = self.distributions.get_mut(id);
        let found = found.ok_or((404, "NoSuchDistribution"))?;
        found.deployed = true;
        Ok(found.whole(id, 200))
    }

    fn config(&self, id: &str) -> Result<Answer, Refusal> {
        let found = self.distributions.get(id);
        let found = found.ok_or((404, "NoSuchDistribution"))?;
        let body = format!("<DistributionConfig>{}</DistributionConfig>", found.config);
        Ok(tagged(200, body, found.tag(id)))
    }

    fn update(&mut self, id: &str, tag: &str, body: &str) -> Result<Answer, Refusal> {
        let found = self.distributions.get(id);
        let mut changed = found.cloned().ok_or((404, "NoSuchDistribution"))?;
        if changed.tag(id) != tag {
            return Err((412, "PreconditionFailed"));
        }
        let config = element(body, "DistributionConfig").unwrap_or_default();
        config.clone_into(&mut changed.config);
        changed.deployed = false;
        changed.version += 1;
        self.free(id, &changed)?;
        let answer = changed.whole(id, 200);
        self.distributions.insert(id.to_owned(), changed);
        Ok(answer)
    }

    fn delete(&mut self, id: &str, tag: &str) -> Result<Answer, Refusal> {
        let found = self.distributions.get(id);
        let found = found.ok_or((404, "NoSuchDistribution"))?;
        if found.tag(id) != tag {
            return Err((412, "PreconditionFailed"));
        }
        if !found.deployed || found.config.contains("<Enabled>true<") {
            return Err((409, "DistributionNotDisabled"));
        }
        self.distributions.remove(id);
        Ok(Answer::new(204, ""))
    }

    fn tags(&self, query: &str) -> Result<Answer, Refusal> {
        let id = query.rsplit("%2F").next().unwrap_or_default();
        let found = self.distributions.get(id);
        let found = found.ok_or((404, "NoSuchResource"))?;
        Ok(Answer::new(200, format!("<Tags>{}</Tags>", found.tags)))
    }

    /// Whether a host is that of a distribution which serves, and its ARN and bucket.
    pub(crate) fn behind(&self, host: &str) -> Option<(String, String)> {
        let (id, found) = self.distributions.iter().find(|(id, found)| {
            let own = found.aliases().contains(&host);
            own || domain(id) == host
        })?;
        let serves = found.deployed && found.config.contains("<Enabled>true<");
        let bucket = found.text("DomainName").split(".s3.").next()?;
        serves.then(|| (arn(id), bucket.to_owned()))
    }
}

fn list(name: &str, items: Vec<String>) -> Answer {
    let quantity = items.len();
    let items = items.concat();
    Answer::new(
        200,
        format!(
            "<{name}><Marker/><MaxItems>100</MaxItems><IsTruncated>false</IsTruncated><Quantity>{quantity}</Quantity>\
             <Items>{items}</Items></{name}>"
        ),
    )
}

fn shown(id: &str, name: &str, status: u16) -> Answer {
    let body = format!(
        "<OriginAccessControl><Id>{id}</Id><OriginAccessControlConfig><Name>{name}</Name><SigningProtocol>sigv4</SigningProtocol>\
         <SigningBehavior>always</SigningBehavior><OriginAccessControlOriginType>s3</OriginAccessControlOriginType>\
         </OriginAccessControlConfig></OriginAccessControl>"
    );
    tagged(status, body, id.to_owned())
}

fn tagged(status: u16, body: String, tag: String) -> Answer {
    Answer {
        status,
        headers: vec![("etag", tag)],
        body: body.into_bytes(),
    }
}

/// What is in the first element of a name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}"))?;
    let (attributes, rest) = rest.split_once('>')?;
    // `<Name2>` and `<Name/>` are not it.
    if !(attributes.is_empty() || attributes.starts_with(' ')) {
        return element(rest, name);
    }
    rest.split_once(&format!("</{name}>"))
        .map(|(inner, _)| inner)
}
