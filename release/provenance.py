#!/usr/bin/env python3
"""Writes provenance.intoto.jsonl: from which commit, and how, the files of a release were built (SLSA provenance 1.0).

    release/provenance.py FOLDER VERSION PROFILE FEATURES TARGET...

It is a statement of the one who built, and not signed.
"""

import datetime
import hashlib
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME = "provenance.intoto.jsonl"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def output(*command):
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()


def statement(folder, version, profile, features, targets):
    files = sorted(path for path in folder.iterdir() if path.name not in (NAME, "SHA256SUMS"))
    time = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    changed = bool(output("git", "status", "--porcelain", "--untracked-files=no"))
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": path.name, "digest": {"sha256": sha256(path)}} for path in files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:contacts:release-build:1",
                "externalParameters": {
                    "version": version,
                    "profile": profile,
                    "features": features.split(","),
                    "targets": targets,
                },
                "internalParameters": {"compiler": output("rustc", "--version"), "changed": changed},
                "resolvedDependencies": [
                    {"name": "source", "digest": {"gitCommit": output("git", "rev-parse", "HEAD")}},
                    {"name": "Cargo.lock", "digest": {"sha256": sha256(ROOT / "Cargo.lock")}},
                ],
            },
            # The time of the commit, so that a second build gives the same file.
            "runDetails": {
                "builder": {"id": "urn:contacts:release-build"},
                "metadata": {"startedOn": time.strftime("%Y-%m-%dT%H:%M:%SZ")},
            },
        },
    }


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1])
    text = json.dumps(statement(target, *sys.argv[2:5], sys.argv[5:]), sort_keys=True)
    (target / NAME).write_text(text + "\n")
