#!/usr/bin/env python3
"""The version of contacts in the files that have it, and the section of a version in CHANGELOG.md.

    release/version.py                     prints the version, and fails if two files differ
    release/version.py set VERSION DATE    writes VERSION into every file, and makes the section of CHANGELOG.md
    release/version.py section VERSION     prints the section of CHANGELOG.md
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
VERSION = r"(\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?)"
# Each place of the version. The documents of the API are made from the program (`make openapi`), and change with it.
PLACES = [
    ("Cargo.toml", rf'^version = "{VERSION}"$'),
    ("Cargo.lock", rf'^name = "contacts"\nversion = "{VERSION}"$'),
    ("Dockerfile", rf"^ARG VERSION={VERSION}$"),
    ("deploy/overlays/local/kustomization.yaml", rf"newTag: {VERSION} \}}"),
    ("deploy/overlays/local/kustomization.yaml", rf"image docker.io/library/contacts:{VERSION}\. "),
    ("deploy/helm/contacts/Chart.yaml", rf"^version: {VERSION}$"),
    ("deploy/helm/contacts/Chart.yaml", rf"^appVersion: {VERSION}$"),
    ("docs/openapi.json", rf'^    "version": "{VERSION}"'),
    ("deploy/azure/gateway/openapi.json", rf'^    "version": "{VERSION}"'),
]
UNRELEASED = "## Unreleased\n"


def fail(text):
    raise SystemExit(f"release: {text}")


def find(file, pattern):
    found = re.search(pattern, (ROOT / file).read_text(), re.M)
    return found or fail(f"{file} has no {pattern}: change release/version.py")


def current():
    versions = {(file, find(file, pattern)[1]) for file, pattern in PLACES}
    if len({version for _, version in versions}) > 1:
        fail("the files have different versions: " + ", ".join(f"{file} {version}" for file, version in sorted(versions)))
    return versions.pop()[1]


def order(version):
    """A version that can be compared: a pre-release comes before its release."""
    numbers, _, before = version.partition("-")
    return [int(number) for number in numbers.split(".")], before == "", before


def section(version):
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(version)} [^\n]*\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return found[1].strip() + "\n" if found else fail(f"CHANGELOG.md has no section {version}")


def set_version(version, date):
    if not re.fullmatch(VERSION, version):
        fail(f"{version} is not a version: write for example 1.2.3 or 1.2.3-rc.1")
    before = current()
    changelog = ROOT / "CHANGELOG.md"
    text = changelog.read_text()
    # The first release has the version that the files have already.
    first = not re.search(rf"^## {VERSION}", text, re.M)
    if order(version) < order(before) or (version == before and not first):
        fail(f"{version} must be newer than {before}")
    news = text.partition(UNRELEASED)[2].partition("\n## ")[0]
    if not re.search(r"^- ", news, re.M):
        fail("CHANGELOG.md has nothing under Unreleased")
    changelog.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n## {version} ({date})\n", 1))
    for file, pattern in PLACES:
        found = find(file, pattern)
        text = (ROOT / file).read_text()
        (ROOT / file).write_text(text[: found.start(1)] + version + text[found.end(1) :])


def main():
    match sys.argv[1:]:
        case []:
            print(current())
        case ["set", version, date]:
            set_version(version, date)
        case ["section", version]:
            print(section(version), end="")
        case _:
            fail(__doc__)


if __name__ == "__main__":
    main()
