"""What the manifests tell the program, told to the program itself: settings, command lines, ports, probes, its end."""

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

from manifests import World, get
from wiring import files_of

PROGRAM = os.environ.get("CONTACTS", "")
ROLES = ("producer", "consumer")
# What a file from a place that only the cluster knows would hold.
SAMPLES = {
    "connection_string": "amqp://default_user_abc:secret@rabbitmq.contacts.svc:5672/",
    "database-url": "postgres://contacts:secret@database:5432/contacts"
    "?sslmode=verify-full&sslrootcert=/etc/ssl/certs/ca-certificates.crt",
    "api-keys": "one,two",
}
# Nothing listens there.
NOWHERE = {
    "CONTACTS__BROKER__URL": "amqp://nobody:nothing@127.0.0.1:1/%2f",
    "CONTACTS__DATABASE__URL": "postgres://nobody:nothing@127.0.0.1:1/nothing",
    "CONTACTS__DATABASE__CONNECT_TIMEOUT": "500ms",
}
USAGE, CONFIGURATION = 64, 78


def seconds(text):
    match = re.fullmatch(r"(\d+)(ms|s|m|h)", text)
    return int(match[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]]


def ours(world):
    """The containers that run the program, with their pods."""
    for pod in world.pods:
        for container in pod.containers:
            if re.fullmatch(r"(.*/)?contacts(:.*)?", container.get("image", "")):
                yield pod, container


def environment(world, pod, container, folder):
    """What the container has in its environment, with its files below a folder, and what is wrong with it."""
    variables, wrong = {}, []
    for source in get(container, "envFrom", default=[]):
        found = world.find("ConfigMap", get(source, "configMapRef", "name"))
        variables.update(get(found, "data", default={}))
    for variable in get(container, "env", default=[]):
        variables[variable["name"]] = variable.get("value", "")
    files, _ = files_of(world, pod, container)
    for name, value in variables.items():
        if not name.startswith("CONTACTS__"):
            wrong.append(f"the program reads no variable {name}: settings begin with CONTACTS__")
        if not name.endswith("_FILE"):
            continue
        kind, owner, key = files.get(value) or (None, None, None)
        secret = world.find("Secret", owner) if kind == "Secret" else None
        text = base64.b64decode(secret["data"][key]).decode() if secret else SAMPLES.get(key)
        if text is None:
            # The base has no Secrets; what is not there at all is for wiring.py to say.
            text = SAMPLES.get(pathlib.PurePath(value).name, SAMPLES["connection_string"])
        path = pathlib.Path(folder, value.lstrip("/").replace("/", "_"))
        path.write_text(text + "\n")
        variables[name] = str(path)
    return variables, wrong


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
        return subprocess.CompletedProcess(command, -1, "", f"it did not end within {timeout} s")


def at_home(variables):
    """The same, with a broker and a database that are away instead of those of the cluster."""
    return {
        name: value
        for name, value in variables.items()
        if not name.startswith(("CONTACTS__BROKER__URL", "CONTACTS__DATABASE__URL", "CONTACTS__LOG__DIR"))
    } | NOWHERE


def settings(world: World):
    """The program takes the whole environment of each container, and understands it as it is meant."""
    for pod, container in ours(world):
        where = f"{pod.owner}: container {container['name']}"
        with tempfile.TemporaryDirectory() as folder:
            variables, wrong = environment(world, pod, container, folder)
            yield from (f"{where}: {what}" for what in wrong)
            said = run(["config"], variables)
            if said.returncode:
                yield f"{where}: `contacts config` ends with {said.returncode}: {said.stderr.strip()}"
                continue
        effective = tomllib.loads(said.stdout)
        for name, value in variables.items():
            path = name.removeprefix("CONTACTS__").lower().split("__")
            if not name.startswith("CONTACTS__") or name.endswith("_FILE"):
                continue
            found = get(effective, *path)
            if str(found).lower() != value.lower():
                yield f"{where}: {name}={value} is understood as {found}"
        yield from bound(pod, container, effective, where)


def bound(pod, container, effective, where):
    """Ports and times of a role's container against the settings that it runs with."""
    role = get(container, "args", 0)
    if role not in ROLES:
        return
    wanted = {"admin": get(effective, "admin", "listen")}
    if role == "producer":
        wanted["http"] = get(effective, "http", "listen")
    declared = {port["name"]: port["containerPort"] for port in get(container, "ports", default=[])}
    for name, listen in wanted.items():
        host, _, port = listen.rpartition(":")
        if host not in ("0.0.0.0", "[::]"):
            yield f"{where}: {name}.listen is {listen}: nobody outside the pod can reach it; listen on 0.0.0.0"
        if declared.get(name) != int(port):
            yield f"{where}: its port {name} is {declared.get(name)}, but the program listens on {port} ({name}.listen)"
    for name in set(declared) - set(wanted):
        yield f"{where}: its port {name} is none that a {role} has"
    grace = seconds(get(effective, "shutdown", "grace"))
    pause = get(container, "lifecycle", "preStop", "sleep", "seconds", default=0)
    given = pod.spec.get("terminationGracePeriodSeconds", 30)
    if given <= grace + pause:
        yield (
            f"{where}: terminationGracePeriodSeconds is {given}, not more than shutdown.grace ({grace:g} s) and "
            f"preStop ({pause} s): it would be killed at its work"
        )


def command_lines(world: World):
    """The program takes the arguments of each container. What is no role is run, too, and lacks only a broker."""
    for pod, container in ours(world):
        arguments = get(container, "args", default=[])
        where = f"{pod.owner}: container {container['name']}"
        if container.get("command"):
            yield f"{where}: says command: the image knows its program, say only args"
        with tempfile.TemporaryDirectory() as folder:
            # The command line is read before the file that is not there.
            said = run([*arguments, "--config", f"{folder}/none"], {})
            if said.returncode != CONFIGURATION or "--config" not in said.stderr:
                yield f"{where}: the program does not take {arguments}: {said.stderr.strip()}"
                continue
            if arguments[0] in ROLES:
                continue
            variables, _ = environment(world, pod, container, folder)
            said = run(arguments, at_home(variables))
            if said.returncode != 1 or "127.0.0.1" not in said.stderr:
                yield (
                    f"{where}: {arguments} should fail only because no broker or database answers at 127.0.0.1, but "
                    f"ends with {said.returncode}: {said.stderr.strip()}"
                )


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port, path):
    """The status, or None if nobody answers."""
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
    """The program with both ports on this machine alone, asked to end at the end."""
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


def last_words(folder):
    return pathlib.Path(folder, "log").read_text()[-500:]


def eventually(condition, process, limit=20):
    end = time.monotonic() + limit
    while not condition():
        if process.poll() is not None or time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def probes(world: World):
    """Every probe is answered by the program as it must be, with the container's own environment."""
    asked = [
        (pod, container, kind, get(container, kind, "httpGet"))
        for pod, container in ours(world)
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        if get(container, kind)
    ]
    for pod, _, kind, action in asked:
        if action is None or action.get("port") not in ("http", "admin"):
            yield f"{pod.owner}: {kind} must ask by HTTP, on a port that the program has"
    asked = [entry for entry in asked if entry[3] and entry[3].get("port") in ("http", "admin")]
    yield from whole(world, asked)
    yield from alone(world, asked)


def whole(world, asked):
    """Where all is well: `standalone` needs nothing else, and its admin port is that of every role."""
    with tempfile.TemporaryDirectory() as folder:
        pod, container = next(
            (pod, container) for pod, container in ours(world) if get(container, "args") == ["producer"]
        )
        variables, _ = environment(world, pod, container, folder)
        with started(["standalone", "--data-dir", f"{folder}/data"], at_home(variables), folder) as (process, ports):
            if not eventually(lambda: ask(ports["admin"], "/readyz") == 200, process):
                yield f"standalone does not become ready: {last_words(folder)}"
                return
            for pod, _, kind, action in asked:
                status = ask(ports[action["port"]], action["path"])
                if status != 200:
                    yield f"{pod.owner}: {kind} asks {action['path']} on port {action['port']}: {status} instead of 200"
            if ask(ports["admin"], "/no-such-path") == 200:
                yield "the admin port answers anything with 200, so no probe means anything"


def alone(world, asked):
    """Where broker and database are away: the role lives and is not ready, and ends within its grace when asked to."""
    for role in ROLES:
        pod, container = next((pod, container) for pod, container in ours(world) if get(container, "args") == [role])
        with tempfile.TemporaryDirectory() as folder:
            variables, _ = environment(world, pod, container, folder)
            with started([role], at_home(variables), folder) as (process, ports):
                admin = ports["admin"]
                if not eventually(lambda admin=admin: ask(admin, "/livez") == 200, process):
                    yield f"{pod.owner}: does not start without broker and database: {last_words(folder)}"
                    continue
                for other, _, kind, action in asked:
                    status = ask(admin, action["path"]) if action["port"] == "admin" else None
                    wanted = 503 if kind == "readinessProbe" else 200
                    if other is not None and other.owner == pod.owner and status != wanted:
                        yield f"{pod.owner}: {kind}: {status} instead of {wanted} while broker and database are away"
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=pod.spec.get("terminationGracePeriodSeconds", 30))
                if process.returncode != 0:
                    yield f"{pod.owner}: asked to end, it ends with {process.returncode} instead of 0"


def doors(world: World):
    """A producer on a public address refuses to start without keys; so the manifests must bring them."""
    for pod, container in ours(world):
        if get(container, "args") != ["producer"]:
            continue
        names = {variable["name"] for variable in get(container, "env", default=[])}
        if not names & {"CONTACTS__HTTP__API_KEYS_FILE", "CONTACTS__HTTP__ALLOW_ANONYMOUS"}:
            yield f"{pod.owner}: has no CONTACTS__HTTP__API_KEYS_FILE: on 0.0.0.0 the program does not start without"
