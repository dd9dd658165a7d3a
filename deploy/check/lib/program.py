"""Runs the program with the settings, command lines, ports and probes of the manifests."""

import base64
import contextlib
import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time
import tomllib

from manifests import Manifests, get
from wiring import mounted_files

PROGRAM = os.environ.get("CONTACTS", "")
ROLES = ("producer", "consumer", "console")
# The probes that must fail without broker and database. A producer still reads without the broker, so it must stay in
# its Service.
FAILING_PROBES = {"producer": "startupProbe", "consumer": "readinessProbe", "console": "readinessProbe"}
# Sample contents for files that exist only in the cluster.
SAMPLES = {
    "connection_string": "amqp://default_user_abc:secret@rabbitmq.contacts.svc:5672/",
    "database-url": "postgres://contacts:secret@database:5432/contacts"
    "?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt",
    "api-keys": "one,two",
    "console-keys": f"night:read+write:sha256:{'ab' * 32}",
}
# Settings for services that do not answer.
UNREACHABLE_SERVICES = {
    "CONTACTS__BROKER__URL": "amqp://nobody:nothing@127.0.0.1:1/%2f",
    "CONTACTS__DATABASE__URL": "postgres://nobody:nothing@127.0.0.1:1/nothing",
    "CONTACTS__DATABASE__CONNECT_TIMEOUT": "500ms",
}
USAGE, CONFIGURATION = 64, 78


def seconds(text):
    match = re.fullmatch(r"(\d+)(ms|s|m|h)", text)
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]


def contacts_containers(manifests):
    """The containers that run the program, with their pods."""
    for pod in manifests.pods:
        for container in pod.containers:
            if re.fullmatch(r"(.*/)?contacts(:.*)?", container.get("image", "")):
                yield pod, container


def environment(manifests, pod, container, folder):
    """The environment of the container, with its files in a folder, and the problems."""
    variables, problems = {}, []
    for source in get(container, "envFrom", default=[]):
        found = manifests.find("ConfigMap", get(source, "configMapRef", "name"))
        variables.update(get(found, "data", default={}))
    for variable in get(container, "env", default=[]):
        variables[variable["name"]] = variable.get("value", "")
    files, _ = mounted_files(manifests, pod, container)
    for name, value in variables.items():
        if not name.startswith("CONTACTS__"):
            problems.append(f"the program does not read {name}: settings start with CONTACTS__")
        if not name.endswith("_FILE"):
            continue
        kind, owner, key = files.get(value) or (None, None, None)
        secret = manifests.find("Secret", owner) if kind == "Secret" else None
        text = base64.b64decode(secret["data"][key]).decode() if secret else SAMPLES.get(key)
        if text is None:
            # The base has no Secrets. wiring.py reports missing files.
            text = SAMPLES.get(pathlib.PurePath(value).name, SAMPLES["connection_string"])
        path = pathlib.Path(folder, value.lstrip("/").replace("/", "_"))
        path.write_text(text + "\n")
        variables[name] = str(path)
    return variables, problems


def run(arguments, variables, timeout=20):
    command = [PROGRAM, *arguments]
    try:
        return subprocess.run(
            command,
            env=variables,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, -1, "", f"it did not exit within {timeout} s")


def with_unreachable_services(variables):
    """The same environment, but with a broker and a database that do not answer."""
    return {
        name: value
        for name, value in variables.items()
        if not name.startswith(("CONTACTS__BROKER__URL", "CONTACTS__DATABASE__URL", "CONTACTS__LOG__DIR"))
    } | UNREACHABLE_SERVICES


def settings(manifests: Manifests):
    """Checks that the program accepts the environment of each container and uses its values."""
    for pod, container in contacts_containers(manifests):
        where = f"{pod.owner}: container {container['name']}"
        with tempfile.TemporaryDirectory() as folder:
            variables, problems = environment(manifests, pod, container, folder)
            yield from (f"{where}: {problem}" for problem in problems)
            result = run(["config"], variables)
            if result.returncode:
                yield f"{where}: `contacts config` exits with {result.returncode}: {result.stderr.strip()}"
                continue
        effective = tomllib.loads(result.stdout)
        for name, value in variables.items():
            path = name.removeprefix("CONTACTS__").lower().split("__")
            if not name.startswith("CONTACTS__") or name.endswith("_FILE"):
                continue
            found = get(effective, *path)
            found = ",".join(found) if isinstance(found, list) else found
            if str(found).lower() != value.lower():
                yield f"{where}: {name}={value} has no effect: the value is {found}"
        yield from check_ports_and_times(pod, container, effective, where)


def check_ports_and_times(pod, container, effective, where):
    """Compares the ports and times of a role's container with its settings."""
    role = get(container, "args", 0)
    if role not in ROLES:
        return
    expected = {"admin": get(effective, "admin", "listen")}
    if role == "producer":
        expected["http"] = get(effective, "http", "listen")
    declared = {port["name"]: port["containerPort"] for port in get(container, "ports", default=[])}
    for name, listen in expected.items():
        host, _, port = listen.rpartition(":")
        if host not in ("0.0.0.0", "[::]"):
            yield f"{where}: {name}.listen is {listen}: it cannot be reached from outside the pod; listen on 0.0.0.0"
        if declared.get(name) != int(port):
            yield f"{where}: its port {name} is {declared.get(name)}, but the program listens on {port} ({name}.listen)"
    for name in set(declared) - set(expected):
        yield f"{where}: a {role} has no port {name}"
    grace = seconds(get(effective, "shutdown", "grace"))
    pause = get(container, "lifecycle", "preStop", "sleep", "seconds", default=0)
    period = pod.spec.get("terminationGracePeriodSeconds", 30)
    if period <= grace + pause:
        yield (
            f"{where}: terminationGracePeriodSeconds is {period}, but must be more than "
            f"shutdown.grace ({grace:g} s) and preStop ({pause} s) together"
        )


def command_lines(manifests: Manifests):
    """Checks that the program accepts the arguments of each container, and runs the commands that are not roles."""
    for pod, container in contacts_containers(manifests):
        arguments = get(container, "args", default=[])
        where = f"{pod.owner}: container {container['name']}"
        if container.get("command"):
            yield f"{where}: has a command: use only args, because the image sets the program"
        with tempfile.TemporaryDirectory() as folder:
            # The program parses its arguments before it reads the missing file.
            result = run([*arguments, "--config", f"{folder}/none"], {})
            if result.returncode != CONFIGURATION or "--config" not in result.stderr:
                yield f"{where}: the program does not accept {arguments}: {result.stderr.strip()}"
                continue
            if arguments[0] in ROLES:
                continue
            variables, _ = environment(manifests, pod, container, folder)
            result = run(arguments, with_unreachable_services(variables))
            if result.returncode != 1 or "127.0.0.1" not in result.stderr:
                yield (
                    f"{where}: {arguments} should fail only because no broker or database answers at 127.0.0.1, but "
                    f"exits with {result.returncode}: {result.stderr.strip()}"
                )


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def get_status(port, path):
    """The HTTP status, or None without an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


@contextlib.contextmanager
def started(arguments, variables, folder):
    """Runs the program with both ports on 127.0.0.1, and stops it at the end."""
    ports = {"http": free_port(), "admin": free_port()}
    listen = [word for name, port in ports.items() for word in ("--set", f"{name}.listen=127.0.0.1:{port}")]
    with open(f"{folder}/log", "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            [PROGRAM, *arguments, *listen], env=variables, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            yield process, ports
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def log_tail(folder):
    return pathlib.Path(folder, "log").read_text()[-500:]


def eventually(condition, process, limit=20):
    end = time.monotonic() + limit
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def probes(manifests: Manifests):
    """Checks that the program answers every probe correctly, with the environment of the container."""
    requests = [
        (pod, container, kind, get(container, kind, "httpGet"))
        for pod, container in contacts_containers(manifests)
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        if get(container, kind)
    ]
    for pod, _, kind, action in requests:
        if action is None or action.get("port") not in ("http", "admin"):
            yield f"{pod.owner}: {kind} must use HTTP and a port of the program"
    requests = [entry for entry in requests if entry[3] and entry[3].get("port") in ("http", "admin")]
    yield from healthy_probes(manifests, requests)
    yield from probes_without_services(manifests, requests)


def healthy_probes(manifests, requests):
    """Checks the probes of a healthy process: `standalone` needs no services, and has the admin port of every role."""
    with tempfile.TemporaryDirectory() as folder:
        pod, container = next(
            (pod, container)
            for pod, container in contacts_containers(manifests)
            if get(container, "args") == ["producer"]
        )
        variables, _ = environment(manifests, pod, container, folder)
        arguments = ["standalone", "--data-dir", f"{folder}/data"]
        with started(arguments, with_unreachable_services(variables), folder) as (process, ports):
            if not eventually(lambda: get_status(ports["admin"], "/readyz") == 200, process):
                yield f"standalone is not ready: {log_tail(folder)}"
                return
            for pod, _, kind, action in requests:
                status = get_status(ports[action["port"]], action["path"])
                if status != 200:
                    yield f"{pod.owner}: {kind} of {action['path']} on port {action['port']}: {status} instead of 200"
            if get_status(ports["admin"], "/no-such-path") == 200:
                yield "the admin port answers 200 for every path, so the probes prove nothing"


def probes_without_services(manifests, requests):
    """Checks the probes without broker and database: the role is live, not ready, and stops within its grace period."""
    roles = [(pod, container) for pod, container in contacts_containers(manifests) if get(container, "args", 0) in ROLES]
    for pod, container in roles:
        role = container["args"][0]
        with tempfile.TemporaryDirectory() as folder:
            variables, _ = environment(manifests, pod, container, folder)
            with started([role], with_unreachable_services(variables), folder) as (process, ports):
                admin = ports["admin"]
                if not eventually(lambda admin=admin: get_status(admin, "/livez") == 200, process):
                    yield f"{pod.owner}: does not start without broker and database: {log_tail(folder)}"
                    continue
                for other, _, kind, action in requests:
                    status = get_status(admin, action["path"]) if action["port"] == "admin" else None
                    expected = 503 if kind == FAILING_PROBES[role] else 200
                    if other is not None and other.owner == pod.owner and status != expected:
                        yield f"{pod.owner}: {kind}: {status} instead of {expected} without broker and database"
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=pod.spec.get("terminationGracePeriodSeconds", 30))
                if process.returncode != 0:
                    yield f"{pod.owner}: exits with {process.returncode} instead of 0 after SIGTERM"


def api_keys(manifests: Manifests):
    """Checks that producer and console have keys. They refuse to start on a public address without keys."""
    required = {"producer": "CONTACTS__HTTP__API_KEYS_FILE", "console": "CONTACTS__ADMIN__CONSOLE_KEYS_FILE"}
    for pod, container in contacts_containers(manifests):
        variable = required.get(get(container, "args", 0))
        names = {variable["name"] for variable in get(container, "env", default=[])}
        if variable and variable not in names:
            yield f"{pod.owner}: has no {variable}: the program needs keys to listen on 0.0.0.0"
