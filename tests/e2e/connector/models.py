"""Requests read and judged, and answers written, by AWS's published API models (botocore's data)."""

import json
import re
import urllib.parse
from xml.sax.saxutils import escape

import botocore.parsers
import botocore.session
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.validate import ParamValidator

SESSION = botocore.session.get_session()
SERVICES = {name: SESSION.get_service_model(name) for name in ("eks", "iam", "sts")}


class Bad(Exception):
    """A request that the model does not allow."""


def operation_of(method, path, body):
    """(service, operation model, parameters) of a request."""
    if path != "/":
        return _rest(method, path, body)
    form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
    action, version = form.pop("Action"), form.pop("Version")
    for name in ("iam", "sts"):
        model = SERVICES[name]
        if model.metadata["apiVersion"] == version and action in model.operation_names:
            operation = model.operation_model(action)
            used = set()
            parameters = _unflatten(operation.input_shape, form, "", used) if operation.input_shape else {}
            if set(form) - used:
                raise Bad(f"{action}: fields {sorted(set(form) - used)} are not in the model")
            return name, operation, parameters or {}
    raise Bad(f"no operation {action} in version {version}")


def judge(operation, parameters):
    """Raises Bad for what botocore's own validator or a constraint of the model refuses."""
    shape = operation.input_shape
    if not shape:
        return
    report = ParamValidator().validate(parameters, shape)
    if report.has_errors():
        raise Bad(f"{operation.name}: {report.generate_report()}")
    _constraints(operation.name, shape, parameters)


def check_signature(service, method, path, query, headers, body, region, access_key, secret):
    """Raises Bad when the signature is not the one that botocore computes for this request."""
    header = headers.get("Authorization", "")
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, ?"
        r"SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})",
        header,
    )
    if not found:
        raise Bad(f"{service}: no signature of version 4: {header[:60]!r}")
    key, _day, signed_region, signed_service, signed, signature = found.groups()
    expected = (access_key, region, service)
    if (key, signed_region, signed_service) != expected:
        raise Bad(f"{service}: signed as {(key, signed_region, signed_service)}, expected {expected}")
    request = AWSRequest(method, f"http://{headers['Host']}{path}", data=body, params=query or None)
    for name in signed.split(";"):
        request.headers[name] = headers[name]
    request.context["timestamp"] = headers["X-Amz-Date"]
    auth = SigV4Auth(Credentials(access_key, secret), service, signed_region)
    computed = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    if computed != signature:
        raise Bad(f"{service}: the signature does not fit the request")


def success(service, operation, result):
    """(status, headers, body) of an answer, which botocore's own parser must read back as the same."""
    if service == "eks":
        answer = 200, {"Content-Type": "application/json"}, json.dumps(result).encode()
    else:
        action = operation.name
        inner = _xml(operation.output_shape, result) if operation.output_shape else ""
        wrapper = operation.output_shape.serialization.get("resultWrapper") if operation.output_shape else None
        inner = f"<{wrapper}>{inner}</{wrapper}>" if wrapper else inner
        metadata = "<ResponseMetadata><RequestId>0f8fad5b</RequestId></ResponseMetadata>"
        body = f"<{action}Response>{inner}{metadata}</{action}Response>"
        answer = 200, {"Content-Type": "text/xml"}, body.encode()
    if operation.output_shape:
        parser = botocore.parsers.create_parser(SERVICES[service].metadata["protocol"])
        response = {"status_code": answer[0], "headers": answer[1], "body": answer[2]}
        parsed = parser.parse(response, operation.output_shape)
        for name in result:
            if name not in parsed:
                raise AssertionError(f"{operation.name}: the model has no {name} in the answer")
    return answer


def error(service, operation, code, text, status=None):
    """(status, headers, body) of an error. One that is in the model has the model's status."""
    modelled = {shape.name: shape.metadata.get("error", {}) for shape in operation.error_shapes}
    modelled = {**modelled, **{each["code"]: each for each in modelled.values() if "code" in each}}
    status = modelled.get(code, {}).get("httpStatusCode", status or 400)
    if service == "eks":
        headers = {"Content-Type": "application/json", "x-amzn-ErrorType": code}
        return status, headers, json.dumps({"message": text}).encode()
    inner = f"<Type>Sender</Type><Code>{code}</Code><Message>{escape(text)}</Message>"
    body = f"<ErrorResponse><Error>{inner}</Error><RequestId>0f8fad5b</RequestId></ErrorResponse>"
    return status, {"Content-Type": "text/xml"}, body.encode()


def _rest(method, path, body):
    for name in SERVICES["eks"].operation_names:
        operation = SERVICES["eks"].operation_model(name)
        uri = operation.http["requestUri"].split("?")[0]
        pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(uri))
        found = re.fullmatch(pattern, path)
        if operation.http["method"] != method or not found:
            continue
        parameters = {}
        members = operation.input_shape.members
        uris = {member.serialization.get("name", key): key for key, member in members.items()}
        for key, value in found.groupdict().items():
            parameters[uris[key]] = urllib.parse.unquote(value)
        if body:
            fields = json.loads(body)
            names = {member.serialization.get("name", key): key for key, member in members.items()}
            parameters |= {names.get(key, key): value for key, value in fields.items()}
        return "eks", operation, parameters
    raise Bad(f"no operation for {method} {path}")


def _unflatten(shape, form, prefix, used):
    """The value of a shape from a form of the query protocol; None when it is not there."""
    if shape.type_name == "structure":
        found = {}
        for key, member in shape.members.items():
            name = member.serialization.get("name", key)
            value = _unflatten(member, form, f"{prefix}.{name}" if prefix else name, used)
            if value is not None:
                found[key] = value
        return found or None
    if shape.type_name == "list":
        found = []
        while (value := _unflatten(shape.member, form, f"{prefix}.member.{len(found) + 1}", used)) is not None:
            found.append(value)
        return found or None
    if prefix not in form:
        return None
    used.add(prefix)
    text = form[prefix]
    return {"integer": int, "boolean": lambda t: t == "true"}.get(shape.type_name, str)(text)


def _constraints(name, shape, value):
    if shape.type_name == "structure":
        for key, member in value.items():
            _constraints(f"{name}.{key}", shape.members[key], member)
    elif shape.type_name == "list":
        for member in value:
            _constraints(name, shape.member, member)
    elif shape.type_name == "map":
        for key, member in value.items():
            _constraints(name, shape.key, key)
            _constraints(name, shape.value, member)
    elif shape.type_name == "string":
        if shape.enum and value not in shape.enum:
            raise Bad(f"{name}: {value!r} is none of {shape.enum}")
        if "max" in shape.metadata and len(value) > shape.metadata["max"]:
            raise Bad(f"{name}: {len(value)} characters, {shape.metadata['max']} at most")
        pattern = shape.metadata.get("pattern")
        # Java's escapes for code points; Python has its own.
        pattern = pattern and re.sub(r"\\u([0-9A-Fa-f]{4})", lambda m: chr(int(m[1], 16)), pattern).replace("\\p{L}", "\\w")
        if pattern and "\\p" not in pattern and not re.fullmatch(pattern, value, re.DOTALL):
            raise Bad(f"{name}: {value!r} does not match {pattern}")


def _xml(shape, value):
    if shape.type_name == "structure":
        parts = []
        for key, member in shape.members.items():
            if key in value:
                name = member.serialization.get("name", key)
                parts.append(f"<{name}>{_xml(member, value[key])}</{name}>")
        return "".join(parts)
    if shape.type_name == "list":
        return "".join(f"<member>{_xml(shape.member, each)}</member>" for each in value)
    if shape.type_name == "boolean":
        return "true" if value else "false"
    return escape(str(value))
