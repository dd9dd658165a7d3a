"""Runs every check and says what is wrong. Called by deploy/check/run."""

import pathlib
import sys
import time

import network
import outside
import program
import schemas
import values
import watching
import wiring

# What must be true, and what finds out; each looks at one rendering.
CHECKS = [
    ("kubectl reads every object", outside.kubectl),
    ("every object fits the schema of its kind", schemas.check),
    ("selectors find what they are for, and nothing else", wiring.selectors),
    ("ports have names, and probes ask ports that are there", wiring.ports),
    ("what is named is there, and what is there is used", wiring.references),
    ("hosts that are named are Services with that port", wiring.hosts),
    ("NetworkPolicies let pass what flows.txt lists, and nothing else", network.check),
    ("requests, limits and sizes are amounts", values.quantities),
    ("names and labels are valid and complete", values.names),
    ("images are pinned", values.images),
    ("schedules and time zones exist", values.schedules),
    ("pods are confined", values.confinement),
    ("no secret is in a manifest but for trying out", values.secrets),
    ("the database of overlays/local has room for all", values.connections),
    ("Prometheus finds whom it scrapes", watching.scraped),
    ("all rules and dashboards are shipped", watching.shipped),
    ("Grafana finds dashboards and data source", watching.provisioned),
    ("optional parts are optional", outside.options),
    ("settings.env fills in everything", outside.filled_in),
    ("the program understands its settings, ports and times", program.settings),
    ("the program takes every command line", program.command_lines),
    ("the API has keys", program.doors),
    ("the program answers every probe", program.probes),
]
# Those that start programs look only where there is something new to see.
FEW = {
    outside.kubectl: ("local+options", "aks+options"),
    program.probes: ("local", "aks"),
}


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def add(self, title, problems, begin):
        if problems:
            self.failed += 1
            print(f"FAIL  {title}")
            for problem in problems:
                print(f"        {problem}")
        else:
            self.passed += 1
            print(f"ok    {title} ({time.monotonic() - begin:.1f} s)", flush=True)


def problems_of(check, world):
    """What a check finds. What is so broken that it cannot be looked at is a finding, too."""
    try:
        return list(check(world))
    except Exception as error:  # noqa: BLE001
        return [f"cannot be checked: {type(error).__name__}: {error}"]


def main():
    report = Report()
    begin = time.monotonic()
    try:
        worlds = outside.render(pathlib.Path(sys.argv[1]))
    except outside.Failure as failure:
        report.add("everything can be rendered", [str(failure)], begin)
    else:
        objects = ", ".join(f"{world.name} {len(world.objects)}" for world in worlds)
        report.add(f"everything can be rendered, by kustomize and by kubectl alike: {objects} objects", [], begin)
        for title, check in CHECKS:
            begin = time.monotonic()
            chosen = [world for world in worlds if world.name in FEW.get(check, (world.name,))]
            # The same thing may be wrong in all of them.
            found = {}
            for world in chosen:
                for problem in problems_of(check, world):
                    found.setdefault(problem, []).append(world.name)
            report.add(title, [f"{', '.join(where)}: {problem}" for problem, where in found.items()], begin)
        begin = time.monotonic()
        everything = [world for world in worlds if world.name.endswith("+options")]
        report.add("checkov finds nothing without a reason in skips.txt", list(outside.checkov(everything)), begin)
    begin = time.monotonic()
    report.add("hadolint finds nothing in Dockerfile", list(outside.hadolint()), begin)
    print(f"\ncheck: {report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
