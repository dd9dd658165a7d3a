"""Makes the table of values in the README of the chart from values.yaml, which has a comment for each value."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = "deploy/helm/contacts"
BEGIN, END = "<!-- values.yaml -->\n", "<!-- end of values.yaml -->\n"


def values():
    """Each value that has a comment: its path, its default, its comment."""
    path, comment = [], []
    for number, line in enumerate((ROOT / CHART / "values.yaml").read_text().splitlines(), 1):
        match = re.fullmatch(r"( *)([\w-]+):(.*)", line)
        if line.lstrip().startswith("#"):
            comment.append(line.lstrip("# "))
        elif not line:
            comment = []
        elif not match or len(match[1]) % 2:
            raise SystemExit(f"values.yaml:{number}: must be NAME: VALUE on one line")
        else:
            path[len(match[1]) // 2 :] = [match[2]]
            default = match[3].strip()
            if default and not comment:
                raise SystemExit(f"values.yaml:{number}: {'.'.join(path)} has no comment")
            if default:
                yield ".".join(path), default, " ".join(comment)
            comment = []


def files():
    rows = "".join(f"| `{path}` | `{default}` | {comment} |\n" for path, default, comment in values())
    text = (ROOT / CHART / "README.md").read_text()
    before, rest = text.split(BEGIN)
    table = f"| value | default | meaning |\n| --- | --- | --- |\n{rows}"
    yield f"{CHART}/README.md", before + BEGIN + table + END + rest.split(END)[1]
