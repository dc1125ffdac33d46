"""The groups of checks, in the order of running."""

import json
import pathlib
import subprocess
import threading

import aws_peer
import crashes
import models
import rights
from site_of_connector import ADMIN, BASE, DEV, GRANTS, NAMESPACE, REGISTER

from harness import irsa

ORDER = [
    "sts:GetCallerIdentity",
    "eks:DescribeCluster",
    "iam:GetRole",
    "iam:GetRole",
    "iam:CreateServiceLinkedRole",
    "iam:CreateRole",
    "iam:GetRole",
    "iam:PutRolePolicy",
    "eks:RegisterCluster",
]


def peer(_site, checks):
    """The judge refuses what it should, or the other groups prove nothing."""

    def verdict(body, path="/cluster-registrations", method="POST"):
        try:
            _service, operation, parameters = models.operation_of(method, path, body)
            models.judge(operation, parameters)
        except models.Bad as bad:
            return str(bad)
        return "good"

    role = "arn:aws:iam::111122223333:role/r"
    good = {"name": "a", "connectorConfig": {"roleArn": role, "provider": "EC2"}, "clientRequestToken": "t"}
    checks.equal("a good request", "good", verdict(json.dumps(good).encode()))
    for change in (
        {"name": "a.b"},
        {"name": "x" * 101},
        {"name": 1},
        {"connectorConfig": {"provider": "EC2"}},
        {"connectorConfig": {"roleArn": role, "provider": "KIND"}},
        {"more": 1},
        {"tags": {"k" * 129: "v"}},
    ):
        checks.true(f"{str(change)[:60]}", verdict(json.dumps(good | change).encode()) != "good")
    form = "Action=CreateRole&Version=2010-05-08&RoleName=r&AssumeRolePolicyDocument=%7B%7D"
    checks.equal("a good form", "good", verdict(form.encode(), "/"))
    for text in (
        form.replace("r&", "r%20r&"),
        form + "&Name=x",
        form.replace("&RoleName=r", ""),
        form.replace("Create", "Make"),
        form + "&Tags.member.1.Key=k",
    ):
        checks.true(text[-40:], verdict(text.encode(), "/") != "good")
    checks.true("no such path", verdict(b"", "/cluster", "DELETE") != "good")
    scope = "Credential=AKIDEXAMPLE/20261122/eu-central-1/eks/aws4_request, SignedHeaders=host;x-amz-date"
    signed = {"Host": "h", "X-Amz-Date": "20261122T000000Z", "Authorization": f"AWS4-HMAC-SHA256 {scope}, Signature={'0' * 64}"}
    try:
        signed["x-amz-date"], signed["host"] = signed["X-Amz-Date"], "h"
        models.check_signature("eks", "GET", "/clusters/a", "", signed, b"", aws_peer.REGION, aws_peer.ACCESS_KEY, aws_peer.SECRET)
        checks.true("a wrong signature is refused", False)
    except models.Bad as bad:
        checks.contains("a wrong signature is refused", str(bad), "does not fit")


def register(site, checks):
    """One command, from nothing to ACTIVE, and the same command again."""
    dry = site.run(0, *REGISTER, *GRANTS, "--dry-run")
    checks.contains(
        "the plan names the calls", dry.text(), "eks:RegisterCluster with role", "kind: StatefulSet", "nothing was changed"
    )
    written = [call for call, _ in site.world.calls if not call.split(":")[1].startswith(("Get", "Describe"))]
    checks.equal("a dry run writes nothing", [], written)
    site.world.next_run()

    ended = site.register(0, "--tag", "team=blue", "-o", "json")
    result = json.loads(ended.text())
    checks.equal("status", "ACTIVE", result["status"])
    checks.equal("the order of the calls", ORDER, [call for call, _ in site.world.calls][: len(ORDER)])
    given = dict(site.world.calls)["eks:RegisterCluster"]
    mark = given["tags"].pop("irsa:registration")
    checks.equal("tags", {"team": "blue"}, given["tags"])
    role = next(iter(site.world.roles.values()))
    checks.equal("the role and the cluster have one mark", role["tags"]["irsa:registration"], mark)
    checks.true("which is not the token", mark != given["clientRequestToken"])
    checks.equal("provider", "OTHER", given["connectorConfig"]["provider"])
    journal = list((site.home / ".local/state/irsa/connector").rglob("journal.json"))
    checks.equal("one journal", 1, len(journal))
    checks.equal("its mode", 0o600, journal[0].stat().st_mode & 0o777)
    checks.true("no code in it any more", aws_peer.CANARY not in journal[0].read_text())
    before = versions(site)
    site.world.next_run()
    site.register()
    written = [call for call, _ in site.world.calls if not call.split(":")[1].startswith(("Get", "Describe"))]
    checks.equal("a second run writes nothing in AWS", [], written)
    checks.equal("and changes no object", before, versions(site))

    other = site.run(1, *[word.replace("prod", "other") for word in REGISTER], *GRANTS, "--apply")
    checks.contains("another name in the same cluster is refused", other.errors(), "this cluster is connected as", "cluster/prod")


def reads(call):
    return call.split(":")[1].startswith(aws_peer.READS)


def versions(site):
    listed = site.plane.kubectl("get", "all,secrets,configmaps,roles,rolebindings", "-n", NAMESPACE, "-o", "json")
    everywhere = site.plane.kubectl("get", "clusterroles,clusterrolebindings", "-o", "json")
    items = json.loads(listed)["items"] + json.loads(everywhere)["items"]
    named = [each["metadata"] for each in items if "eks-connector" in each["metadata"]["name"]]
    return {each["name"] + each.get("namespace", ""): each["resourceVersion"] for each in named}


def files(site, checks):
    """The same by way of files and kubectl."""
    out = site.work / "out"
    ended = site.run(0, *REGISTER, *GRANTS, "--out", out)
    checks.contains("what to do next", ended.text(), "PENDING", "kubectl apply --server-side -f")
    names = sorted(path.name for path in out.iterdir())
    checks.equal("files", ["1-eks-connector.yaml", "2-eks-connector-console.yaml"], names)
    for path in out.iterdir():
        checks.equal(f"mode of {path.name}", 0o600, path.stat().st_mode & 0o777)
    checks.equal("mode of the folder", 0o700, out.stat().st_mode & 0o777)
    # A server-side dry run of what is in a namespace needs the namespace.
    site.plane.kubectl("create", "namespace", NAMESPACE)
    judged = site.plane.kubectl("apply", "--dry-run=server", "--validate=strict", "--server-side", "--force-conflicts", "-f", out)
    checks.equal("objects that pass a server-side dry run", 17, judged.count("serverside-applied (server dry run)"))
    site.plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", out)
    status = json.loads(site.run(0, "connector", "status", *BASE, "-o", "json").text())
    checks.equal("status after kubectl apply", "ACTIVE", status["status"])
    checks.true("time is left", 0 < status["activation_seconds_left"] <= 3 * 86400, status)
    again = site.run(0, *REGISTER, *GRANTS, "--out", out)
    checks.contains("the command goes on from its journal", again.errors(), "is registered already")
    code = aws_peer.CANARY
    state = pathlib.Path(site.home, ".local/state")
    held = [path for path in state.rglob("*") if path.is_file() and code in path.read_text()]
    checks.equal("the journal forgets the code once connected", [], held)
    site.plane.kubectl("label", "namespace", NAMESPACE, "app.kubernetes.io/managed-by-")
    for path in out.iterdir():
        path.unlink()


def deregister(site, checks):
    """Everything goes, twice, and roles of others stay."""
    site.register()
    role = next(iter(site.world.roles.values()))
    role["attached"].append("arn:aws:iam::aws:policy/ReadOnlyAccess")
    site.world.roles["foreign"] = {"trust": "{}", "tags": {}, "inline": {}, "attached": [], "path": "/a/path/"}
    site.world.next_run()
    before = versions(site)
    dry = json.loads(site.deregister(0, "--dry-run", "-o", "json").text())
    checks.equal("a dry run changes nothing in AWS", [], [call for call, _ in site.world.calls if not reads(call)])
    checks.equal("and no object", before, versions(site))
    done = json.loads(site.deregister(0, "-o", "json").text())
    would, did = ([row["what"] for row in each["parts"] if row["state"].startswith("delete")] for each in (dry, done))
    checks.equal("the run deletes what the dry run named", would, did)
    checks.true("which is all", len(did) > 15, did)
    checks.equal("clusters", {}, site.world.clusters)
    checks.equal("roles", ["foreign"], list(site.world.roles))
    checks.equal("objects of the whole cluster", [], site.objects())
    site.wait_gone()
    again = site.deregister()
    checks.equal("a second run finds nothing", 0, again.text().count("deleted"))
    site.register()
    site.world.faults["iam:DeleteRole"] = [aws_peer.Refused("AccessDenied", "no", 403)]
    partly = site.deregister(1)
    checks.contains("what stands is named", partly.errors(), "is not taken back whole: role", "iam:DeleteRole")
    checks.equal("and nothing else stands", {}, site.world.clusters)
    site.wait_gone()
    site.deregister()
    checks.equal("the next run takes the rest", ["foreign"], list(site.world.roles))
    kept = site.register()
    site.deregister(0, "--keep-k8s", "--keep-role")
    checks.true("kept objects", site.objects() and kept)
    checks.equal("kept roles", 2, len(site.world.roles))


def readme(site, checks):
    """The README's two commands as they stand there, typed into a shell in an empty directory."""
    text = (pathlib.Path(__file__).parents[3] / "README.md").read_text()
    section = text.split("\n## In the EKS console\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("```sh\n")[1].split("```")[0].splitlines() if not line.startswith("#")]
    checks.equal("two commands", ["register", "deregister"], [line.split()[2] for line in lines])
    place, tools = site.work / "empty", site.work / "tools"
    place.mkdir()
    tools.mkdir()
    (tools / "irsa").symlink_to(pathlib.Path(irsa.path()).resolve())
    environment = {**site.environment, "PATH": f"{tools}:/usr/bin:/bin"}

    def typed(line):
        words = ["sh", "-euc", line]
        ended = subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True, timeout=120, check=False)
        site.said.append((line.split()[1:], ended.stdout, ended.stderr))
        checks.equal(line, 0, ended.returncode) or print(ended.stderr)
        return ended

    ended = typed(lines[0])
    checks.contains("the console shows it", ended.stdout, "status      ACTIVE", "role/Operator=full")
    checks.equal("it is registered as the README says", "EKS_ANYWHERE", site.world.clusters["prod"]["provider"])
    again = typed(lines[0])
    checks.contains("the same command again", again.stderr, "is registered already")
    ended = typed(lines[1])
    checks.equal("nothing stands in AWS", ({}, {}), (site.world.clusters, site.world.roles))
    checks.equal("nor in the cluster", [], site.objects())
    site.wait_gone()
    checks.equal("nor in the directory", [], list(place.iterdir()))
    again = typed(lines[1])
    checks.equal("a second time there is nothing to do", 0, again.stdout.count("deleted"))


def refusals(site, checks):
    """Nothing is asked of AWS or changed in the cluster when the request itself is wrong."""
    changed = [*BASE[:3], "prod.example.com"]
    for code, words, expected in (
        (2, ["connector", "register", *changed, "--provider", "other", "--apply"], "use --name prod-example-com"),
        (2, ["connector", "register", *BASE, "--provider", "kubeadm", "--apply"], "--provider OTHER"),
        (2, [*REGISTER, "--grant", f"{ADMIN}", "--apply"], "says nothing of the access"),
        (2, [*REGISTER, "--grant", "arn:aws:iam::111122223333:group/g=full", "--apply"], "is a group"),
        (2, [*REGISTER, "--image", "agent=r/a:latest", "--apply"], "is not pinned"),
        (2, [*REGISTER], "required"),
        (2, "connector register --name p --provider other --apply --region cn-north-1".split(), "not offered"),
        (2, [*REGISTER, "--apply", "--role-arn", "arn:aws:iam::999999999999:role/r"], "is not in your account"),
        (1, [*REGISTER, "--grant", f"{DEV}=ns:nowhere", "--apply"], 'namespace "nowhere" of a grant does not exist'),
    ):
        site.world.next_run()
        ended = site.run(code, *words)
        checks.contains(f"irsa {' '.join(map(str, words[:3]))}", ended.errors(), expected)
        asked = {call for call, _ in site.world.calls}
        checks.true("AWS is asked who calls, at most", asked <= {"sts:GetCallerIdentity"}, asked)
    site.world.next_run()
    checks.equal("nothing stands", ([], {}), (site.objects(), site.world.roles))


def retries(site, checks):
    """The texts of EKS, over the wire."""
    for code, text, status, times in (
        ("ResourcePropagationDelayException", "still propagating", 428, 1),
        ("InvalidRequestException", "Not existing role: arn", 400, 1),
    ):
        site.fresh()
        site.world.faults["eks:RegisterCluster"] = [aws_peer.Refused(code, text, status) for _ in range(times)]
        site.register()
        asked = [given for call, given in site.world.calls if call == "eks:RegisterCluster"]
        checks.equal(f"{code}: attempts", times + 1, len(asked))
        checks.equal(f"{code}: one token", 1, len({given["clientRequestToken"] for given in asked}))
    site.fresh()
    site.world.faults["eks:RegisterCluster"] = [aws_peer.Refused("ResourceLimitExceededException", "ten", 400)]
    ended = site.run(1, *REGISTER, *GRANTS, "--apply")
    checks.contains("a limit", ended.errors(), "ResourceLimitExceededException", "was deleted again", "ten connected clusters")
    checks.equal("no role is left", {}, site.world.roles)
    checks.equal("no object is left", [], site.objects())


def races(site, checks):
    """Many operators at once lose nothing."""
    site.register()
    arns = [f"arn:aws:iam::111122223333:role/R{number}" for number in range(6)]

    def grant(arn):
        while (ended := irsa.run("connector", "grant", f"{arn}=full", environment=site.environment)).code == 4:
            pass
        codes.append(ended.code)

    codes = []
    threads = [threading.Thread(target=grant, args=(arn,)) for arn in arns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    checks.equal("each came through", [0] * len(arns), codes)
    listed = json.loads(site.run(0, "connector", "grants", "-o", "json").text())
    found = {row["arn"] for row in listed["grants"]}
    checks.equal("every grant stands", {ADMIN, DEV, *arns}, found)


def permissions(site, checks):
    """The printed policy covers every call that any check made."""
    printed = json.loads(site.run(0, "connector", "permissions").text())
    allowed = {action for statement in printed["Statement"] for action in statement["Action"]}
    # Needs no permission (STS API reference).
    missing = site.world.asked - allowed - {"sts:GetCallerIdentity"}
    checks.equal("calls that are not in the policy", set(), missing)
    checks.true("the net holds something", len(site.world.asked) > 6, site.world.asked)


def secrecy(site, checks):
    """The activation code is in nothing that irsa ever said, all at trace level."""
    site.register()
    code = aws_peer.CANARY
    spellings = [code, aws_peer.encoded(code + "0000000001")[:12], "".join(f"{byte}, " for byte in code.encode())]
    checks.true("there is something to search", sum(len(text) for _, *texts in site.said for text in texts) > 10000)
    for arguments, *texts in site.said:
        found = [each for each in spellings for text in texts if each in text]
        checks.equal(f"irsa {' '.join(map(str, arguments[:2]))}", [], found)


ALL = {
    "peer": peer,
    "register": register,
    "readme": readme,
    "files": files,
    "refusals": refusals,
    "retries": retries,
    "rights": rights.rights,
    "grants": rights.grants,
    "agents": rights.agents,
    "races": races,
    "deregister": deregister,
    "crashes": crashes.crashes,
    "permissions": permissions,
    "secrecy": secrecy,
}
