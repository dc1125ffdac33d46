"""Manifests edited as people do by hand. irsa's own edits are what is tested, so nothing of irsa is used here."""

import os

import yaml


def put(manifest, content):
    """Replaces a manifest in one step: of a file that is half written the kubelet makes nothing."""
    draft = manifest.parent.parent / f"{manifest.name}.draft"
    draft.write_bytes(content)
    os.replace(draft, manifest)


def replace_flags(manifest, flags):
    """Replaces flags of the first container, all values of each."""
    pod = yaml.safe_load(manifest.read_text())
    command = pod["spec"]["containers"][0]["command"]
    kept = [word for word in command if word.split("=")[0].removeprefix("--") not in flags]
    added = [f"--{flag}={value}" for flag, values in flags.items() for value in values]
    pod["spec"]["containers"][0]["command"] = kept + added
    put(manifest, yaml.safe_dump(pod, sort_keys=False).encode())
