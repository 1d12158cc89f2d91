"""Every bound, patience and cap in one place, with its unit in the name and its reason beside it.

Rooms import what they need; tests may pass their own values as arguments. A number that people tune is a setting of
the daemon that reads it, and its default stands here.
"""

from __future__ import annotations

from typing import Final

# Store
STORE_WATCH_QUEUE_BATCHES: Final = 4_096
"""Batches a store watcher may lag before it is cut off: about one busy second."""
STORE_HISTORY_REVISIONS: Final = 20_000
"""Revisions kept for watchers that come back; older ones are answered with 410 Expired."""
STORE_HISTORY_BYTES: Final = 128 * 1024 * 1024
"""Values, before and after, that those revisions may hold on to: bodies can be megabytes."""
STORE_WAL_BYTES: Final = 16 * 1024 * 1024
"""What the write-ahead log shrinks back to after a burst."""

# API
REPORTED_PROBLEMS: Final = 64
"""Problems of one object that an answer lists; the rest would only make it longer."""
JSON_PATCH_OPERATIONS: Final = 10_000
"""As in Kubernetes' apiserver."""
JSON_PATCH_COPIED_VALUES: Final = 200_000
"""More than an object of `BODY_BYTES` usually holds."""
PROTOBUF_VALUES: Final = 400_000
"""Fields in one protobuf body: ten times a very large object, a fraction of what `BODY_BYTES` could claim."""
TEMPLATES: Final = 512
TEMPLATE_BYTES: Final = 16 * 1024
"""Pod specs that are remembered, and the largest of them: 16 MiB together at most, usually one."""
JSON_DEPTH: Final = 96
"""Objects and lists inside each other in a body: deeper than any kind goes, shallow enough for what recurses."""

# Server
BODY_BYTES: Final = 3 * 1024 * 1024
"""Largest request body, as in Kubernetes' apiserver."""
LIST_PAGE_ITEMS: Final = 500
"""Page size clients are encouraged to use; a `limit` above this is honoured."""
WATCH_BOOKMARK_SECONDS: Final = 60.0
WATCH_TIMEOUT_MIN_SECONDS: Final = 1_800.0
"""A watch without timeoutSeconds ends between this and twice this, as in Kubernetes."""
WATCH_TIMEOUT_MAX_SECONDS: Final = 7_200.0
"""No watch goes on for longer without the client asking again, whatever it asked for."""
WATCH_WRITE_SECONDS: Final = 30.0
"""A watcher that does not read for this long is cut off."""
GZIP_BYTES: Final = 128 * 1024
"""Lists above this are compressed for clients that take it, as in Kubernetes."""
YAML_VALUES: Final = 200_000
"""Values that a YAML body may stand for; far more than fit into `BODY_BYTES` without aliases that multiply."""
GRACE_SECONDS: Final = 2**31 - 1
"""The longest grace of a deleted pod; longer ones would end after the last moment that can be told."""
YAML_DEPTH: Final = 200
"""How deep a YAML body may be nested; no kind comes near, and the library's composer is recursive."""
STORE_CHECK_SECONDS: Final = 5.0
"""How soon the daemon notices that its store is broken, and ends so that it is started again."""
EVENT_SECONDS: Final = 3_600.0
"""How long an Event is kept after it was last seen, as in Kubernetes."""
EVENTS: Final = 20_000
EVENT_PRUNE_SECONDS: Final = 60.0
KEEPALIVE_SECONDS: Final = 75.0
LISTEN_BACKLOG: Final = 512
SHUTDOWN_SECONDS: Final = 5.0
"""How long requests in flight may go on after SIGTERM."""
HANDSHAKE_SECONDS: Final = 10.0
REQUEST_HEAD_SECONDS: Final = 10.0
"""From the end of the TLS handshake to the end of the first request's head."""
REQUEST_BODY_SECONDS: Final = 30.0
UNREAD_SECONDS: Final = 60.0
"""How long a client may leave what it is sent unread, or unacknowledged, before the kernel ends its connection."""
CONNECTIONS: Final = 4_096
CONNECTIONS_PER_CLIENT: Final = 1_536
"""More than `WATCHES_PER_IDENTITY`, which is refused with words."""
WATCHES_PER_IDENTITY: Final = 1_024

# Client
CLIENT_CONNECT_SECONDS: Final = 5.0
CLIENT_REQUEST_SECONDS: Final = 30.0
INFORMER_BACKOFF_START_SECONDS: Final = 0.2
INFORMER_BACKOFF_MAX_SECONDS: Final = 10.0
INFORMER_WATCH_SECONDS: Final = 300.0

# Docker Engine, as a deployment target
DOCKER_CONNECT_SECONDS: Final = 5.0
DOCKER_SILENCE_SECONDS: Final = 1_200.0
"""How long the engine may say nothing within a call: a step of a build prints nothing until it is done."""
DOCKER_HEALTH_POLL_SECONDS: Final = 0.25
"""How often a container that is waited for (`wait`) is asked for its health; the engine has no call that blocks."""
IMAGE_LOAD_SECONDS: Final = 600.0
"""Copying images onto one node, over a slow line."""
PLUGIN_MESSAGE_BYTES: Final = 400 * 1024 * 1024
"""Pulumi's own limit for messages between engine and plugin."""
PLUGIN_GRACE_SECONDS: Final = 2.0

# Controllers
RECONCILE_WORKERS: Final = 4
QUEUE_BACKOFF_START_SECONDS: Final = 0.05
QUEUE_BACKOFF_MAX_SECONDS: Final = 60.0
ACTIONS_PER_PASS: Final = 50
READ_YOUR_WRITES_SECONDS: Final = 5.0
PODS_OVER_KEPT: Final = 1_000
"""Finished pods that are kept to be looked at."""
EVENT_QUEUE: Final = 2_048
"""Events waiting to be written; the oldest is dropped when there are more."""
EVENT_SERIES: Final = 4_096
"""Events whose count is remembered, so that a repetition needs no read."""
EVENT_SIMILAR: Final = 10
"""Different messages of one reason about one object before they are told as one."""
EVENT_SIMILAR_SECONDS: Final = 600.0
"""Older ones do not count, as in Kubernetes."""

# Scheduler
SCHEDULER_BINDERS: Final = 16
"""Bindings under way at once; the store commits them in groups."""
SCHEDULER_DECISIONS_PER_TURN: Final = 16
"""Decisions before other tasks get their turn: a few milliseconds."""
SCHEDULER_RETRY_SECONDS: Final = 60.0
SCHEDULER_QUESTIONS: Final = 256
"""Different questions to nodes (selectors, tolerations) whose answers are kept up to date."""

# Node lifecycle: a killed node's pods run elsewhere within 15 s; no pause of the control plane up to 30 s moves one.
LEASE_RENEW_SECONDS: Final = 2.0
LEASE_LOST_SECONDS: Final = 9.0
"""Silence after which a node is taken for lost, counted only over time in which the control plane was listening."""
NODE_SUSPECT_SECONDS: Final = 5.0
"""Two renewals were missed. Counted to tell a dead node from our own deafness."""
FLEET_SILENT_FRACTION: Final = 0.55
"""When more of the fleet than this is suspect at once, the fault is taken to be on our side: nothing is moved."""
NODE_RETURN_SECONDS: Final = 6.0
"""How much later than the first of a silent fleet a living node may be heard: a renewal hung, then comes the next."""
LISTENING_TICK_SECONDS: Final = 0.5
LISTENING_PAUSE_SECONDS: Final = 2.0
"""A tick that is later than this means that the control plane was paused: every node gets its whole patience again."""
UNREACHABLE_TOLERATION_SECONDS: Final = 1.0
"""How long a pod that says nothing about it stays on a lost node."""
NOT_READY_TOLERATION_SECONDS: Final = 300.0
"""How long such a pod stays on a node whose agent is there and says that it is not ready."""

# Agent
RUNTIME_CALL_SECONDS: Final = 120.0
"""A call of the container engine, which may be busy with many containers at once."""
RUNTIME_RELIST_SECONDS: Final = 60.0
"""How often the engine's list corrects events that were missed."""
EXEC_END_SECONDS: Final = 20.0
"""For finding the process of a command that took too long, so that it can be ended."""
EXEC_END_POLL_SECONDS: Final = 0.1
RUNTIME_ASK_SECONDS: Final = 10.0
"""How often the engine is asked whether it is there, and how long an answer may take."""
RUNTIME_MISSED_ANSWERS: Final = 2
"""So many in a row, and the node is not ready. An engine that restarts answers again before."""
IMAGE_PULL_SECONDS: Final = 1_800.0
CONTAINER_LOG_BYTES: Final = 10 * 1024 * 1024
CONTAINER_LOG_FILES: Final = 3
CRASH_BACKOFF_START_SECONDS: Final = 10.0
CRASH_BACKOFF_MAX_SECONDS: Final = 300.0
CRASH_FORGIVEN_SECONDS: Final = 600.0
"""A container that ran this long is restarted at once again, as in Kubernetes."""
IMAGE_BACKOFF_START_SECONDS: Final = 10.0
IMAGE_BACKOFF_MAX_SECONDS: Final = 300.0
SETBACK_START_SECONDS: Final = 0.5
SETBACK_MAX_SECONDS: Final = 10.0
"""Operations that failed for other reasons: a config map that is not there yet, a network that is not up yet."""
STATUS_WRITERS: Final = 4
"""Pod statuses on their way to the API at the same time."""
CONFIG_REFRESH_SECONDS: Final = 30.0
"""How often volumes of config maps and secrets are brought up to date."""
KILL_AGAIN_SECONDS: Final = 5.0
"""A container that still runs this long after SIGKILL is sent another one."""
POST_START_SECONDS: Final = 120.0
READINESS_EAGER_SECONDS: Final = 0.1
"""The first pause between readiness probes of a container that was never ready; doubles up to the probe's period."""
NODE_STATUS_SECONDS: Final = 2.0
"""How often the Node's status is compared with what it should say; it is written only when it differs."""
NODE_REPORT_SECONDS: Final = 300
"""A status that says nothing new is written all the same after this, as a kubelet does, so that its heartbeats move."""
NODE_REPORT_SPREAD_SECONDS: Final = 60
"""By so much longer it takes some nodes, each its own share: those that began together do not write together."""
LEASE_CALL_SECONDS: Final = 4.0
CERTIFICATE_CHECK_SECONDS: Final = 600.0
TUNNEL_HEARTBEAT_SECONDS: Final = 15.0

# Machine drivers
CLOUD_ATTEMPTS: Final = 6
"""Times one call to a cloud is made before its throttling or silence is told to the caller: about 30 s in all."""
CLOUD_BACKOFF_START_SECONDS: Final = 0.5
CLOUD_BACKOFF_MAX_SECONDS: Final = 15.0
CLOUD_CONNECT_SECONDS: Final = 10.0
CLOUD_CALL_SECONDS: Final = 60.0
OFFERINGS_FRESH_SECONDS: Final = 300.0
"""How old prices and zones may be that are not asked for again; spot prices move by the hour."""
CLOUD_VISIBLE_SECONDS: Final = 60.0
"""How long a cloud may take until it lists what it has just made."""
CLOUD_POLL_SECONDS: Final = 1.0
MACHINE_BOOT_SECONDS: Final = 300.0
"""Until a new machine runs; slower ones are replaced."""
MACHINE_GONE_SECONDS: Final = 300.0
CONTAINER_HALT_SECONDS: Final = 20
"""Patience with a machine in a container that was asked to halt."""
HOSTS_AT_ONCE: Final = 16
"""Owned hosts that are asked at the same time."""
HOST_ANSWER_SECONDS: Final = 20.0
POWER_COMMAND_SECONDS: Final = 60.0
UNPRICED_MICROS_PER_HOUR: Final = 100_000_000
"""What a machine without a known price is taken to cost: a hundred dollars, so that it is chosen last."""
QMP_SECONDS: Final = 10.0
"""Patience with a virtual machine's monitor, and with its process after it was killed."""
QMP_POLL_SECONDS: Final = 0.1
PORT_TRIES: Final = 100
"""Ports that the kernel is asked for until one is no other machine's; it has 28,000 of them."""
EC2_STATUS_IDS: Final = 100
"""Instances that one DescribeInstanceStatus may name (EC2's API reference)."""
LIBVIRT_POLL_SECONDS: Final = 0.5
"""Between looks at whether a domain has halted; each is a process of virsh."""
CREATE_GENERATIONS: Final = 16
"""Machines that one token made and that were deleted since, as far as a cloud still remembers them (a day)."""
CONSOLE_BYTES: Final = 64 * 1024
"""The end of a console that is kept: EC2 keeps as much."""

# Bootstrap
SSH_CONNECT_SECONDS: Final = 5
"""One attempt to open a connection (ssh's ConnectTimeout, whole seconds)."""
SSH_READY_SECONDS: Final = 120.0
"""How long a new machine may take until its SSH server answers."""
SSH_PAUSE_SECONDS: Final = 1.0
SSH_SAY_FIRST_SECONDS: Final = 3.0
"""A machine that starts is silent for a moment; after this whoever waits hears why."""
SSH_SAY_SECONDS: Final = 10.0
SSH_COMMAND_SECONDS: Final = 60.0
CLOCK_OFFSET_SECONDS: Final = 30.0
"""A clock further off than this makes fresh certificates invalid and leases meaningless: preflight refuses."""
NODE_FREE_BYTES: Final = 2 * 1024**3
"""Room for the bundle (0.2 GiB), the Docker Engine (0.4 GiB) and the first images."""
CONTROL_PLANE_FREE_BYTES: Final = 1024**3
PLAYBOOK_SECONDS: Final = 900.0
PLAYBOOK_EVENT_BYTES: Final = 16 * 1024 * 1024
"""Longest line of one Ansible event: a task's result may hold a package manager's whole output."""
PLAYBOOK_POLL_SECONDS: Final = 0.1
"""How often Ansible looks which machine can go on; a machine waits half of it, on average, for each of ten tasks."""
PLAYBOOK_TASK_SAY_SECONDS: Final = 1.5
"""A task that runs for so long is told before it ends; most are skipped or over by then."""
PLAYBOOK_STOP_SECONDS: Final = 10.0
"""Patience between asking Ansible to end and ending it."""
GO_BACK_SECONDS: Final = 360.0
"""For the build before to run again: longer than its unit may take to start."""
BOOTSTRAP_GATHER_SECONDS: Final = 0.5
"""Machines that are ready for Ansible within this of the first one share its run."""
BUNDLE_SECONDS: Final = 300.0
BUNDLE_WHEELS_SECONDS: Final = 900.0
"""For all wheels of an operator's own machine: a hundred of them."""
BUNDLES_KEPT: Final = 4

# The node's network
NETWORK_COMMAND_SECONDS: Final = 60.0
"""Patience with one `nft` or `iptables`; a full load of 10,000 Services takes under a second."""
NETWORK_COALESCE_SECONDS: Final = 0.05
"""Changes of Services, endpoints and nodes that arrive within this become one transaction."""
NETWORK_SERVICES_AT_ONCE: Final = 100
"""Services planned without a break: about 10 ms."""
NETWORK_VERIFY_SECONDS: Final = 60.0
"""How often links, routes and rules are looked at in case somebody else removed them."""
NETWORK_RETRY_SECONDS: Final = 2.0
ECHO_SECONDS: Final = 0.3
"""Between two echoes to one node. A client whose packets are lost tries again after a second, and is to be led to a
node that answers by then."""
ECHOES_PER_SECOND: Final = 200
"""A larger fleet is asked less often: an agent's share of a processor stays."""
ECHOES_MISSED: Final = 3
ECHOES_TRUSTED: Final = 2
"""Answers in a row of a node that was silent."""
CONNTRACK_FILTERS: Final = 16
"""Addresses for which tracked connections are listed one by one; for more, all are listed once."""
DNS_UPSTREAM_SECONDS: Final = 2.0
"""Patience with one upstream server; the next is asked then."""
DNS_CACHE_ENTRIES: Final = 4_096
DNS_CACHE_MAX_SECONDS: Final = 300.0
DNS_FORWARDS: Final = 256
"""Questions waiting for upstream servers at one time; more are answered with SERVFAIL."""
DNS_TCP_CONNECTIONS: Final = 128
DNS_TCP_IDLE_SECONDS: Final = 10.0
DNS_SNAPSHOT_SECONDS: Final = 5.0
"""How old the names on disk may be; they are read after a restart until the control plane answers."""

# Deployment engine
ENGINE_BACKUPS: Final = 50
"""States from before an update that are kept per stack; the oldest go."""
ENGINE_CHILD_TAIL_LINES: Final = 20
"""Last lines of a program or plugin that an error message quotes."""
ENGINE_CHILD_LINE_BYTES: Final = 1024 * 1024
ENGINE_CHILD_STOP_SECONDS: Final = 3.0
"""Patience between asking a plugin to end and ending it."""
ENGINE_CHILD_LAST_WORDS_SECONDS: Final = 1.0
"""For reading what an ended process had written, where something it left running keeps its output open."""
ENGINE_SURVIVORS_SECONDS: Final = 30.0
"""Wait for the children of a killed run; their guards end them ten times sooner."""
ENGINE_SURVIVORS_POLL_SECONDS: Final = 0.05
ENGINE_PLUGIN_START_SECONDS: Final = 300.0
"""Until it says where it listens; one that has ended is noticed at once, so this is for busy machines."""
ENGINE_PLUGIN_CALL_SECONDS: Final = 600.0
"""Check, diff, configure, read: calls that change nothing."""
ENGINE_DOWNLOAD_SECONDS: Final = 60.0
"""Without a byte of what is behind the URI of an asset."""
ENGINE_OPERATION_SECONDS: Final = 4 * 3600.0
"""Create, update, delete, where the program sets no customTimeouts; providers end their own earlier."""
ENGINE_OPERATION_GRACE_SECONDS: Final = 60.0
"""On top of customTimeouts, so that the provider's own, better error comes first."""
ENGINE_PROGRAM_STOP_SECONDS: Final = 5.0
"""A program is given this long to end by itself once the deployment has failed."""
ENGINE_MESSAGE_BYTES: Final = 400 * 1024 * 1024
"""Largest gRPC message, as in Pulumi's own engine."""

# Provider
CREATE_SECONDS: Final = 600.0
"""Patience of one create, update or delete unless the program's custom timeouts say otherwise."""
NODE_READY_SECONDS: Final = 120.0
UPGRADE_DRAIN_SECONDS: Final = 300.0
"""For pods to leave a node that is about to be changed to another build; longer than their usual grace."""
ENDPOINT_LOOK_SECONDS: Final = 15.0
"""How often a provisioner reads whether the way to the API has changed, as it does with the CA."""
ENDPOINT_READ_SECONDS: Final = 30.0
STANDBY_LOOK_SECONDS: Final = 2.0
"""How often a provisioner that stands by looks whether the one it stands by for has ended."""
WISH_HEARD_SECONDS: Final = 60.0
"""For the provisioner to begin what is wished on a claim: longer than it takes to look at everything."""
WISH_SECONDS: Final = 1800.0
"""For a machine of a node pool to run another build: a launch's patience, and the wait for the pool's budget."""
ROLLOUT_MARK_TRIES: Final = 8
"""Looks at a Node that others write each time it is about to be cordoned; its agent does so every few seconds."""
UPGRADE_READY_SECONDS: Final = 60.0
"""Until an agent that was changed to another build renews its node's lease twice; else it is changed back."""
SERVER_READY_SECONDS: Final = 60.0
DRAIN_SECONDS: Final = 60.0
API_POLL_SECONDS: Final = 0.3
ENGINE_LOST_SECONDS: Final = 10.0
"""Silence of the engine after which a provider ends itself."""
PLAN_TELLS_SECONDS: Final = 2.0
"""How often `iacorch plan` says what it is at."""
PROGRESS_QUEUE: Final = 1_000
"""Lines of progress that may wait for a slow engine; later ones are dropped."""

# Drift
DRIFT_FIGHT_SECONDS: Final = 6 * 3_600.0
"""How long a change of a field counts as a turn in a fight."""
DRIFT_FIGHT_TURNS: Final = 2
"""So often somebody undoes what we set right before it is called a fight: once is a person who did not know."""
DRIFT_FLIPS_KEPT: Final = 16
DRIFT_TRIES: Final = 4
DRIFT_PAUSE_START_SECONDS: Final = 60.0
DRIFT_PAUSE_MAX_SECONDS: Final = 3_600.0
DRIFT_SETTLE_SECONDS: Final = 60.0
"""How long a controller or an agent may take to set right what is theirs before we do."""
DRIFT_APPROVAL_SECONDS: Final = 24 * 3_600.0
DRIFT_SAY_SECONDS: Final = 5.0
"""How often who waits for a check hears what it is at."""
DRIFT_FINDINGS: Final = 500
"""Findings that one DriftReport carries: a few hundred kilobytes; the rest is counted."""
DRIFT_FIELDS: Final = 20
"""Differing fields of one finding that a report carries."""
DRIFT_HOSTS_AT_ONCE: Final = 32
"""Machines looked into at the same time: an SSH client each."""
DRIFT_STACKS_AT_ONCE: Final = 4
"""Refresh previews at the same time: each starts its provider plugins."""
DRIFT_PROBE_SECONDS: Final = 30.0
DRIFT_WATCH_SECONDS: Final = 1.0
"""How often containers are looked at while watching: a drift is told within two of these."""
DRIFT_TICK_SECONDS: Final = 5.0
"""How often schedules are asked whether something is due."""
DRIFT_OVERDUE_SECONDS: Final = 300.0
"""A check that is due may take this long to be made and written down before it is called overdue."""
CERTIFICATE_LEFT_SECONDS: Final = 7 * 86_400.0
"""A certificate that ends sooner than this should have been renewed."""

# Machines that the cluster asks for
PROVISION_BATCH_SECONDS: Final = 1.0
"""Decisions about the whole fleet are at least this far apart: pods that arrive together are decided together."""
PROVISION_LOOK_SECONDS: Final = 10.0
"""How often the fleet is looked at when nothing changes: hours, expiry, consolidation, accounts."""
EXPIRY_LOOK_SECONDS: Final = 3_600.0
"""How often at least a machine's age is looked at."""
PROVISION_GROUPS_AHEAD: Final = 64
"""Different pods looked at when a machine's size is estimated; the scheduler's filters decide about all of them."""
LEADER_RENEW_SECONDS: Final = 4.0
LEADER_ACT_SECONDS: Final = 12.0
"""For so long after a renewal a provisioner decides; then, unable to renew, it stops."""
LEADER_LEASE_SECONDS: Final = 16.0
"""For so long the others wait before they take a lease that is not renewed."""
POOL_EMPTY_SECONDS: Final = 1_800.0
"""How long deleting a pool from a program waits until its machines are given back."""
POOL_POLL_SECONDS: Final = 2.0
MACHINE_OWN_MILLI_CPU: Final = 250
"""What a machine is taken to spend on itself when sizes are compared."""
PROVISION_OPERATIONS: Final = 10
"""Machines made, repaired or removed at one time."""
PROVISION_LISTED_PODS: Final = 3
"""Pods that a message names before it only counts them."""
MESSAGE_CHARACTERS: Final = 1_024
OFFER_REFUSED_SECONDS: Final = 180.0
"""How long an offering that was refused is passed over the first time; doubles while it is refused again."""
OFFER_REFUSED_MAX_SECONDS: Final = 3_600.0
OFFER_FORGOTTEN_SECONDS: Final = 1_800.0
"""After this long without a refusal the next one counts as the first."""
OFFERS_FRESH_SECONDS: Final = 300.0
"""How old a driver's list of offerings and prices may be."""
LAUNCH_SECONDS: Final = 900.0
"""From asking for a machine to its node being Ready."""
LAUNCH_ATTEMPTS: Final = 3
LAUNCH_BACKOFF_START_SECONDS: Final = 5.0
LAUNCH_BACKOFF_MAX_SECONDS: Final = 120.0
MACHINE_LOOK_SECONDS: Final = 10.0
"""How often each machine's driver is asked whether it is there, and whether it is about to be taken away."""
CLAIM_DRAIN_SECONDS: Final = 120.0
"""How long pods may take to leave a machine that is removed of our own accord."""
DISRUPTION_BUDGET: Final = "10%"
CONSOLIDATE_AFTER_SECONDS: Final = 60.0
"""How long a machine must be Ready, or empty, before it is a candidate: pods come and go in waves."""
CONSOLIDATION_CANDIDATES: Final = 100
"""Machines simulated away in one look at the fleet, the most promising first."""
CONSOLIDATION_WORTH: Final = 2
"""A move may disturb up to this many times the share of a pool's pods that it saves of its money."""
CONSOLIDATION_SAVING_PERCENT: Final = 10
"""A replacement that is not at least this much cheaper is not worth a new machine."""
REPAIR_RUNGS: Final = ("RestartAgent", "Bootstrap", "Reboot", "Reimage", "Replace")
REPAIR_PATIENCE_SECONDS: Final = {
    "Unhealthy": 60.0,
    "RestartAgent": 60.0,
    "Bootstrap": 300.0,
    "Reboot": 240.0,
    "Reimage": 900.0,
    "Replace": 900.0,
}
"""How long a node may be unhealthy before the first rung, and how long each rung may take to show."""
REPAIRS_AT_ONCE: Final = 1
REPAIR_MAX_UNHEALTHY: Final = "40%"
"""Rounded down, at least one: one of three machines, two of five. Beyond that nothing drastic is done unasked."""
REPAIR_STABLE_SECONDS: Final = 600.0
"""A machine that fails again within this goes on with the next rung instead of starting over."""
REPAIR_BACKOFF_START_SECONDS: Final = 60.0
REPAIR_BACKOFF_MAX_SECONDS: Final = 3_600.0
"""A pool whose machines had to be replaced waits before it replaces the next; doubles."""

PAGE_COLUMNS: Final = 120
"""Width of tables and differences where no terminal says how wide it is."""
PAGE_COLUMNS_LEAST: Final = 60
"""A terminal that says it is narrower than this gets lines that it breaks itself."""
HELP_COLUMNS: Final = 100
DIFF_LINES: Final = 12
"""Lines shown of one difference of a long text; `-o wide` shows all."""
WHY_PATIENCE_SECONDS: Final = 60.0
"""A pod that is on its way, or going, for less than this is not called stuck."""
WHY_LATELY_SECONDS: Final = 3_600.0
WHY_RESTARTS: Final = 3
"""A ready pod that crashed this often, and lately, is worth a remark."""
WHY_LOG_LINES: Final = 5
WHY_LOGS: Final = 20
"""Crashed containers whose last lines are fetched; many pods of one owner crash alike."""
WHY_LOG_SECONDS: Final = 5.0
WHY_NAMES: Final = 4
