"""Runs every check and prints the problems. deploy/check/run calls it."""

import pathlib
import sys
import time

import chart
import network
import external_tools
import program
import schemas
import values
import monitoring
import wiring

# The title of each check, and its function, which checks one rendering.
CHECKS = [
    ("kubectl reads every object", external_tools.kubectl),
    ("every object matches the schema of its kind", schemas.check),
    ("every selector matches only its target", wiring.selectors),
    ("ports have names, and probes use existing ports", wiring.ports),
    ("every referenced object exists, and every object is used", wiring.references),
    ("every host name is a Service with that port", wiring.hosts),
    ("NetworkPolicies allow exactly the traffic in flows.txt", network.check),
    ("requests, limits and sizes are valid quantities", values.quantities),
    ("names and labels are valid and complete", values.names),
    ("images are pinned", values.images),
    ("schedules and time zones exist", values.schedules),
    ("the drain of a node does not fail a Job", values.drains),
    ("pods meet the security rules", values.pod_security),
    ("only overlays/local has secrets in its manifests", values.secrets),
    ("the database of overlays/local has enough connections", values.connections),
    ("Prometheus finds its targets", monitoring.scraped),
    ("all rules and dashboards are deployed", monitoring.shipped),
    ("the Prometheus operator gets the same jobs, rules and dashboards", monitoring.operator),
    ("Grafana finds its dashboards and data source", monitoring.provisioned),
    ("the Helm chart renders the same objects", chart.same),
    ("optional parts are optional", external_tools.options),
    ("settings.env replaces every placeholder", external_tools.placeholders),
    ("the program accepts its settings, ports and times", program.settings),
    ("the program accepts every command line", program.command_lines),
    ("the API and the console have keys", program.api_keys),
    ("the program answers every probe correctly", program.probes),
]
# Checks that start programs run only for these renderings.
LIMITED_CHECKS = {
    external_tools.kubectl: ("local+options", "aks+options"),
    program.probes: ("local+options", "aks+options"),
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


def find_problems(check, manifests):
    """The problems that a check finds. An error in the check itself is a problem, too."""
    try:
        return list(check(manifests))
    except Exception as error:  # noqa: BLE001
        return [f"the check failed: {type(error).__name__}: {error}"]


def main():
    report = Report()
    begin = time.monotonic()
    try:
        renderings = external_tools.render(pathlib.Path(sys.argv[1]))
    except external_tools.Failure as failure:
        report.add("all manifests can be rendered", [str(failure)], begin)
    else:
        objects = ", ".join(f"{manifests.name} {len(manifests.objects)}" for manifests in renderings)
        report.add(f"kustomize and kubectl render the same manifests: {objects} objects", [], begin)
        for title, check in CHECKS:
            begin = time.monotonic()
            names = LIMITED_CHECKS.get(check)
            selected = [manifests for manifests in renderings if names is None or manifests.name in names]
            # Print a problem of several renderings only once.
            found = {}
            for manifests in selected:
                for problem in find_problems(check, manifests):
                    found.setdefault(problem, []).append(manifests.name)
            report.add(title, [f"{', '.join(names)}: {problem}" for problem, names in found.items()], begin)
        begin = time.monotonic()
        everything = [manifests for manifests in renderings if manifests.name.endswith("+options")]
        report.add("every finding of checkov is in skips.txt", list(external_tools.checkov(everything)), begin)
    begin = time.monotonic()
    report.add("the values of the Helm chart are described and checked", list(chart.check()), begin)
    begin = time.monotonic()
    report.add("files that are made from others are up to date", list(external_tools.generated()), begin)
    begin = time.monotonic()
    report.add("hadolint has no findings in Dockerfile", list(external_tools.hadolint()), begin)
    print(f"\ncheck: {report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
