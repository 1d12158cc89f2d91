"""A running local fleet, changed by hand in sixty ways: is everything found, and set right?

    python benchmarks/drift/live.py [--json] [1 2 3]    after `make up`; changes things inside the machines, then mends

Each change is a command that a person might type inside a machine or against the API. Then `iacorch drift --once` must
name each one, `--correct` set it right, and a last check find nothing. A second round has changes that agents mend by
themselves: those only have to be right at the end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
STACK = os.environ.get("STACK", "local")
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{HERE / '.tools/bin'}:{HERE / '.venv/bin'}:{os.environ['PATH']}",
    "PULUMI_CONFIG_PASSPHRASE_FILE": str(HERE / ".iacorch/passphrase"),
    "PULUMI_BACKEND_URL": f"file://{HERE / '.iacorch/state'}",
    "IACORCH_ENGINE": "builtin",
    "IACORCH_CACHE_DIR": str(HERE / ".iacorch/cache"),
    "KUBECONFIG": str(HERE / ".iacorch/kubeconfig"),
}
PROGRAM = """
import os
import pulumi
from iacorch.stack import Manifest
text = open(os.environ["KUBECONFIG"]).read()
Manifest("shop", kubeconfig=pulumi.Output.secret(text), yaml=open("shop.yaml").read(), wait=False)
"""
SHOP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: shop-config, labels: {app: shop}}
data: {mode: live, colour: blue}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop-other}
data: {a: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: shop-held, finalizers: [example.com/held]}
---
apiVersion: v1
kind: Secret
metadata: {name: shop-keys}
stringData: {token: hunter2}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec: {selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop}
spec:
  replicas: 0
  selector: {matchLabels: {app: shop}}
  template:
    metadata: {labels: {app: shop}}
    spec: {containers: [{name: app, image: "iacorch/visits:v1", env: [{name: MODE, value: live}]}]}
"""
AGENT = "iacorch-agent"
BUNDLE = f"$(sed -n 's|^ExecStart=.*/opt/iacorch/\\([^/]*\\)/.*|\\1|p' /etc/systemd/system/{AGENT}.service)"
PICK = "docker ps -q --filter label=iacorch.dev/container-name={} | head -n1"

#: machine, what is typed there, kind and part of the name that must be found
ON_MACHINES = [
    ("worker-1", f"echo '# by hand' >> /etc/systemd/system/{AGENT}.service", "File", f"{AGENT}.service"),
    ("worker-1", "chmod 644 /etc/iacorch/agent-token", "File", "agent-token"),
    ("worker-1", "systemctl disable -q docker.service", "Service", "docker.service"),
    ("worker-1", "sed -i 's/\"10m\"/\"99m\"/' /etc/docker/daemon.json", "File", "daemon.json"),
    ("worker-1", f"echo '# by hand' >> /opt/iacorch/{BUNDLE}/lib/iacorch/errors.py", "Bundle", ""),
    ("worker-1", "chmod 644 /var/lib/iacorch-agent/pki/agent.key", "File", "agent.key"),
    ("worker-2", "echo >> /etc/iacorch/ca.crt", "File", "ca.crt"),
    ("worker-2", f"rm /etc/iacorch/{AGENT}.owner", "File", ".owner"),
    ("worker-2", f"systemctl disable -q {AGENT}.service", "Service", AGENT),
    ("worker-2", "mkdir -p /etc/systemd/system/docker.service.d && printf '[Service]\\nNice=5\\n' "
                 "> /etc/systemd/system/docker.service.d/nice.conf", "File", "nice.conf"),
    ("worker-2", f"rm /opt/iacorch/{BUNDLE}/lib/iacorch/agent/containers/names.py", "Bundle", ""),
    ("worker-2", "chown nobody /etc/iacorch/agent-token", "File", "agent-token"),
    ("worker-2", "rm /var/lib/iacorch-agent/pki/agent.crt", "Certificate", "agent.crt"),
    ("worker-2", "dpkg -r --force-depends nftables >/dev/null 2>&1", "Program", "nft"),
    ("worker-2", "docker update --memory 64m --memory-swap 64m "
                 "$(docker ps -q --filter label=iacorch.dev/container-name=web | head -n1)", "Container", "web"),
    ("worker-2", "docker run -d --name stray --label iacorch.dev/node=worker-2 --label iacorch.dev/pod-uid=nobody "
                 "--network none --entrypoint sleep iacorch/visits:v1 3600", "Container", "stray"),
    ("control-plane", "chmod 644 /etc/iacorch/join-token", "File", "join-token"),
    ("control-plane", "systemctl disable -q iacorchd.service", "Service", "iacorchd"),
]  # fmt: skip
UNIT_FOLDERS = "/etc/systemd/system"
#: the second round, of what nobody had in mind when drift was made: as above, and a question whose answer is yes when
#: all is right. Where no kind is named an agent mends it, so that it need not be found.
MORE_ON_MACHINES = [
    ("worker-1", "ip link set iacvx0 down && ip link set iacvx0 name oops && ip link set oops up", "", "",
     "test -e /sys/class/net/iacvx0 && ! test -e /sys/class/net/oops"),
    ("worker-1", "for link in $(ls /sys/class/net | grep ^iacp); do ip link set $link down; done", "", "",
     "! ip -br link | grep ^iacp | grep -q DOWN"),
    ("worker-1", "ip route del 10.96.0.0/16", "", "", "ip route | grep -q ^10.96.0.0/16"),
    ("worker-2", "nft flush ruleset", "", "", "nft list table ip iacorch | grep -q 10.96"),
    ("worker-2", "sysctl -qw net.ipv4.ip_forward=0", "", "", "grep -q 1 /proc/sys/net/ipv4/ip_forward"),
    ("worker-1", f"f=/opt/iacorch/{BUNDLE}/lib/iacorch/agent/node.py; echo '# by hand' >> $f; touch -d @0 $f",
     "Bundle", "", f"! grep -rqs '# by hand' /opt/iacorch/{BUNDLE}/lib/iacorch"),
    ("worker-1", f"cp /bin/true /opt/iacorch/{BUNDLE}/bin/iacorch-agent", "Bundle", "",
     f"! cmp -s /bin/true /opt/iacorch/{BUNDLE}/bin/iacorch-agent"),
    ("worker-1", "chmod 777 /etc/iacorch", "File", "/etc/iacorch", "test $(stat -c %a /etc/iacorch) = 755"),
    ("worker-2", "chmod 755 /var/lib/iacorch-agent /var/lib/iacorch-agent/pki", "File", "pki",
     "test $(stat -c %a /var/lib/iacorch-agent/pki) = 700"),
    ("worker-2", "systemctl set-property docker.service CPUWeight=50", "File", "50-CPUWeight.conf",
     f"! ls {UNIT_FOLDERS}.control/docker.service.d/*.conf"),
    ("worker-2", f"mkdir -p {UNIT_FOLDERS}/service.d && printf '[Service]\nNice=3\n' >{UNIT_FOLDERS}/service.d/x.conf",
     "File", "service.d/x.conf", f"! test -e {UNIT_FOLDERS}/service.d/x.conf"),
    ("worker-2", f"systemctl stop {AGENT}", "Service", AGENT, f"systemctl is-active -q {AGENT}"),
    ("worker-1", f"docker rename $({PICK.format('web')}) oops", "Container", "oops", "! docker inspect oops"),
    ("worker-2", "chmod 666 /run/docker.sock", "Socket", "docker.sock", "test $(stat -c %a /run/docker.sock) = 660"),
    ("worker-1", "mkdir -p /tmp/other && mount --bind /tmp/other /etc/iacorch", "Mount", "/etc/iacorch",
     "! grep -q ' /etc/iacorch ' /proc/mounts && test -e /etc/iacorch/ca.crt"),
    ("worker-2", "ip link set iacvx0 mtu 576", "", "", "test $(cat /sys/class/net/iacvx0/mtu) -gt 1000"),
    ("worker-1", f"docker pause $({PICK.format('web')})", "", "", "! docker ps | grep -q Paused"),
    ("worker-1", "rm -rf /var/lib/iacorch-agent/journal", "", "", "test -d /var/lib/iacorch-agent/journal"),
]  # fmt: skip
MORE_IN_API = [
    ("annotate configmap shop-config iacorch.dev/manifest-", "ConfigMap", "shop-config"),
    ("patch configmap shop-held --type merge -p {\"metadata\":{\"finalizers\":null}}", "ConfigMap", "shop-held"),
    ("delete service shop", "Service", "shop"),
    ("set image deployment/shop app=iacorch/visits:v2 --field-manager=somebody", "Deployment", "shop"),
    ("patch secret shop-keys --type merge -p {\"data\":{\"more\":\"b3RoZXI=\"}}", "Secret", "shop-keys"),
]  # fmt: skip
#: the third round, as the second; `HOST` is typed on the machine that the containers run on, @ is the machine
LAST_ON_MACHINES = [
    ("worker-2", "nft add table inet mine; nft add chain inet mine pass '{ type filter hook forward priority -5; }'; "
     "nft add rule inet mine pass ip saddr 10.244.0.0/16 counter drop", "ForeignRule", "inet mine pass",
     "! nft list chain inet mine pass | grep -q drop"),
    ("worker-1", "nft add table ip strict && "
     "nft add chain ip strict pass '{ type filter hook forward priority 5; policy drop; }'", "ForeignRule",
     "ip strict pass 0", "nft list chain ip strict pass | grep -q 'policy accept'"),
    ("worker-1", "echo garbage >/var/lib/iacorch-agent/pki/agent.key", "Certificate", "agent.crt",
     "python3 -c 'import ssl; ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain("
     "*[\"/var/lib/iacorch-agent/pki/agent.\" + end for end in (\"crt\", \"key\")])'"),
    ("worker-2", "systemctl mask --runtime -q docker.service", "Service", "docker.service",
     "! systemctl is-enabled docker.service | grep -q mask"),
    ("worker-1", f"docker update --cpuset-cpus 0 $({PICK.format('web')})", "Container", "web", ""),
    ("worker-2", f"docker update --restart always $({PICK.format('web')})", "Container", "web", ""),
    ("control-plane", "chmod 755 /var/lib/iacorch/. /var/lib/iacorch/pki", "File", "/var/lib/iacorch/pki",
     "test $(stat -c %a /var/lib/iacorch/pki) = 700"),
    ("control-plane", "chmod 644 /var/lib/iacorch/pki/ca.key", "File", "ca.key",
     "test $(stat -c %a /var/lib/iacorch/pki/ca.key) = 600"),
    ("worker-2", "HOST docker update --restart always @", "ContainerMachine$docker:index", "worker-2", ""),
]  # fmt: skip
LAST_IN_API = [
    ("patch deployment shop --type json -p [{\"op\":\"add\",\"path\":\"/spec/template/spec/containers/-\","
     "\"value\":{\"name\":\"spy\",\"image\":\"iacorch/visits:v1\"}}]", "Deployment", "shop"),
    ("patch configmap shop-config --type merge -p {\"immutable\":true,\"data\":{\"mode\":\"mine\"}}", "ConfigMap",
     "shop-config"),
    ("patch service shop --type merge -p {\"spec\":{\"ports\":[{\"name\":\"http\",\"port\":80,\"targetPort\":9999}]}}",
     "Service", "shop"),
    ("annotate secret shop-keys iacorch.dev/manifest=somebody --overwrite", "Secret", "shop-keys"),
]  # fmt: skip
#: arguments of kubectl, kind and name that must be found
IN_API = [
    ("delete configmap shop-other", "ConfigMap", "shop-other"),
    ("patch configmap shop-config --type merge -p {\"data\":{\"mode\":\"test\"}}", "ConfigMap", "shop-config"),
    ("patch secret shop-keys --type merge -p {\"data\":{\"token\":\"b3RoZXI=\"}}", "Secret", "shop-keys"),
    ("patch service shop --type merge -p {\"spec\":{\"selector\":{\"app\":\"nothing\"}}}", "Service", "shop"),
    ("scale deployment shop --replicas 1", "Deployment", "shop"),
]  # fmt: skip


def main() -> None:
    machines = json.loads(iacorch("stack", "output", "nodes", "--json"))
    names = {name: entry["machine"] for name, entry in machines.items()}
    listed = run("docker", "ps", "--format", "{{.Names}}").split()
    # Several fleets may run here: ours is the one that publishes our port.
    port = json.loads(iacorch("stack", "output", "--json"))["api_endpoint"].rpartition(":")[2]
    planes = [name for name in listed if name.startswith("control-plane-")]
    names["control-plane"] = next(name for name in planes if run("docker", "port", name).strip().endswith(f":{port}"))
    with tempfile.TemporaryDirectory(prefix="iacorch-drift-") as folder:
        shop = Path(folder)
        (shop / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
        (shop / "__main__.py").write_text(PROGRAM)
        (shop / "shop.yaml").write_text(SHOP)
        at_shop = ("--cwd", folder, "--backend", f"file://{folder}/state", "--stack", "shop")
        iacorch("stack", "init", "shop", *at_shop[:-2], stack=False)
        iacorch("up", "--yes", *at_shop, stack=False)
        try:
            run("kubectl", "rollout", "restart", "deployment/web")  # pods of it on both workers, most likely
            run("kubectl", "rollout", "status", "deployment/web", "--timeout=120s")
            while len(run("kubectl", "get", "pods", "-l", "app=web", "-o", "name").split()) > 3:
                time.sleep(1)  # the old ones' containers are still there
            rounds = [int(word) for word in sys.argv[1:] if word.isdigit()] or [1, 2, 3]
            if 1 in rounds:
                measure(names, at_shop)
            if 2 in rounds:
                more(names, at_shop, MORE_ON_MACHINES, MORE_IN_API)
            if 3 in rounds:
                more(names, at_shop, LAST_ON_MACHINES, LAST_IN_API)
        finally:
            released = '{"metadata":{"finalizers":null}}'
            run("kubectl", "patch", "configmap", "shop-held", "--type=merge", "-p", released, codes=(0, 1))
            iacorch("destroy", "--yes", *at_shop, stack=False)


def spread(names: dict[str, str]) -> None:
    """A pod of the app on either worker, as the commands find one there."""
    for worker, other in (("worker-1", "worker-2"), ("worker-2", "worker-1")):
        if run("docker", "exec", names[worker], "sh", "-c", PICK.format("web")).strip():
            continue
        run("kubectl", "cordon", other)
        try:
            pods = run("kubectl", "get", "pods", "-l", "app=web", "-o", "name", "--field-selector",
                       f"spec.nodeName={other}").split()  # fmt: skip
            run("kubectl", "delete", pods[0])
            run("kubectl", "rollout", "status", "deployment/web", "--timeout=300s")
        finally:
            run("kubectl", "uncordon", other)


def more(names: dict[str, str], at_shop: tuple[str, ...], on_machines: Any, in_api: Any) -> None:
    """The second round, and the third."""
    spread(names)
    began = time.monotonic()
    wanted: list[tuple[str, str, str]] = []
    for machine, command, kind, part, _ in on_machines:
        name = names[machine]
        if command.startswith("HOST "):
            run(*command.removeprefix("HOST ").replace("@", name).split(" "))
        else:
            run("docker", "exec", name, "sh", "-c", command)
        place = STACK if command.startswith("HOST ") else machine
        wanted += [(place, kind, part)] if kind else []
    for arguments, kind, part in in_api:
        run("kubectl", *arguments.split(" "))
        wanted.append(("default", kind, part))
    found = check() + check(*at_shop)
    missed = [entry for entry in wanted if not any(is_it(entry, finding) for finding in found)]
    row("live: changes nobody had in mind, of those that agents do not mend", len(wanted), "changes", len(wanted))
    row("live: of them found", len(wanted) - len(missed), "changes", len(wanted))
    for entry in missed:
        print("missed", *entry, file=sys.stderr)
    for finding in found:
        print(json.dumps(finding), file=sys.stderr)
        if finding["kind"] == "ForeignRule":
            iacorch("drift", "approve", finding["id"])
    left = corrected(at_shop)
    row("live: findings left after correcting those", len(left), "findings", 0)
    time.sleep(max(0.0, 75 - (time.monotonic() - began)))  # what agents mend, they mend within a minute
    wrong = [
        f"{machine}: {command}"
        for machine, command, _, _, question in on_machines
        if question
        and subprocess.run(["docker", "exec", names[machine], "sh", "-c", question], capture_output=True).returncode
    ]
    row("live: changes on machines that are still there", len(wrong), "changes", 0)
    for words in wrong:
        print("still there:", words, file=sys.stderr)


def measure(names: dict[str, str], at_shop: tuple[str, ...]) -> None:
    before = check() + check(*at_shop)
    row("live: findings before anything was changed", len(before), "findings", 0)
    for finding in before:
        print("before", json.dumps(finding), file=sys.stderr)
    wanted: list[tuple[str, str, str]] = []
    for machine, command, kind, part in ON_MACHINES:
        run("docker", "exec", names[machine], "sh", "-c", command)
        wanted.append((machine, kind, part))
    for arguments, kind, part in IN_API:
        run("kubectl", *arguments.split(" "))
        wanted.append(("default", kind, part))
    began = time.monotonic()
    found = check() + check(*at_shop)
    row("live: a check of 3 machines", time.monotonic() - began, "s", None)
    missed = [entry for entry in wanted if not any(is_it(entry, finding) for finding in found)]
    row("live: changes by hand", len(wanted), "changes", 20)
    row("live: of them found", len(wanted) - len(missed), "changes", len(wanted))
    for entry in missed:
        print("missed", *entry, file=sys.stderr)
    for finding in found:
        fields = "; ".join(f"{f['path']}: {f['wanted']} -> {f['seen']}" for f in finding.get("fields", ()))
        print(finding["layer"], finding.get("node"), finding["kind"], finding["name"], finding["verdict"], fields,
              file=sys.stderr)  # fmt: skip
    began = time.monotonic()
    left = corrected(at_shop)
    row("live: correcting them", time.monotonic() - began, "s", None)
    row("live: findings left after correcting", len(left), "findings", 0)
    row("live: findings of a third look", len(check() + check(*at_shop)), "findings", 0)


def corrected(at_shop: tuple[str, ...]) -> list[dict[str, str]]:
    """What is left once everything that may be corrected was."""
    left: list[dict[str, str]] = []
    for rounds in range(1, 4):
        for arguments in ((), at_shop):
            for finding in check("--correct", *arguments):
                said = [finding.get(name, "") for name in ("node", "kind", "name", "decision", "reason")]
                print(time.strftime("%T"), *said, file=sys.stderr)
        left = check() + check(*at_shop)
        if not left:
            row("live: rounds of correcting", rounds, "rounds", 1)
            break
        for finding in left:
            print("left", json.dumps(finding), file=sys.stderr)
        time.sleep(60)  # agents settle theirs; a second try waits a minute
    return left


def is_it(entry: tuple[str, str, str], finding: dict[str, str]) -> bool:
    where, kind, part = entry
    places = (finding.get("node"), finding.get("namespace"), finding.get("stack"))
    return where in places and finding["kind"].startswith(kind) and part in finding["name"]


def check(*arguments: str) -> list[dict[str, str]]:
    text = iacorch("drift", "--once", "--quick", "--json", *arguments, stack=not at_other(arguments), codes=(0, 1, 2))
    document = json.loads(text)
    for error in document["errors"]:
        print("not looked at:", error, file=sys.stderr)
    findings: list[dict[str, str]] = document["findings"]
    return findings


def at_other(arguments: tuple[str, ...]) -> bool:
    return "--cwd" in arguments


def iacorch(*arguments: str, stack: bool = True, codes: tuple[int, ...] = (0,)) -> str:
    return run("iacorch", *arguments, *(("--stack", STACK) if stack else ()), codes=codes)


def run(*command: str, codes: tuple[int, ...] = (0,)) -> str:
    done = subprocess.run(command, cwd=HERE, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode not in codes:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    if done.stderr:
        print(time.strftime("%T"), done.stderr.strip(), file=sys.stderr, flush=True)
    return done.stdout


def row(name: str, value: float, unit: str, goal: float | None) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"name": name, "value": value, "unit": unit, "goal": goal}), flush=True)
    else:
        print(f"{name:<60} {value:>8.1f} {unit}" + ("" if goal is None else f" (goal {goal:g})"), flush=True)


if __name__ == "__main__":
    main()
