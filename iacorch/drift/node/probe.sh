# What a node looks like now, as `key=value` lines, in one round trip. Runs as root on any POSIX shell, changes nothing.
# What to look at comes in front, from probe.py: FILES, FOLDERS, SERVICES, PROGRAMS, SYSCTLS, CERTIFICATES, UNIT, BUNDLE,
# TABLE, LINK, SOCKETS, CONTAINERS. Read by probe.py, which knows every key.
has() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s=%s\n' "$1" "$2"; }

say clock "$(date +%s.%N)"
if [ -n "$UNIT" ]; then
  for path in $FILES; do
    if [ -f "$path" ]; then
      sum=$(sha256sum "$path" 2>/dev/null)
      say file "$(stat -Lc '%a %U:%G' "$path") ${sum%% *} $(stat -Lc %Y "$path") $path"
    fi
  done
  for path in $FOLDERS; do
    [ -d "$path" ] && say folder "$(stat -Lc '%a %U:%G' "$path") $path"
  done
  for path in $SOCKETS; do
    [ -S "$path" ] && say socket "$(stat -Lc '%a %U:%G' "$path") $path"
  done
  # What is mounted over these hides them from whoever looks next, until it is gone: after a boot, say. A disk for all of
  # a folder of ours that daemons write to, or that the bundle is unpacked into, is the host's own.
  while read -r _ target _; do
    for path in $FILES /etc/iacorch; do
      case $target in
        "$path" | /etc/iacorch/* | /opt/iacorch/*)
          say mount "$target"
          break
          ;;
      esac
    done
  done </proc/self/mounts
  for unit in $SERVICES; do
    frozen=
    pid=$(systemctl show -p MainPID --value "$unit" 2>/dev/null)
    # systemd takes a process that was stopped by a signal for one that runs
    grep -qs '^State:[[:space:]]*[tT]' "/proc/${pid:-0}/status" && frozen=frozen
    say service "$unit $(systemctl show -p ActiveState,UnitFileState,NeedDaemonReload,SubState --value "$unit" 2>/dev/null | tr '\n' ' ') $frozen"
    # Of this unit, of all services, and what `systemctl set-property` writes. What was there before bootstrap came is
    # the host's own: a proxy for Docker, say. Not every file system keeps births.
    since=$(stat -c %W /etc/iacorch 2>/dev/null)
    case $since in
      '' | 0 | *[!0-9]*) since=$(stat -c %Y "/etc/iacorch/$UNIT.owner" 2>/dev/null || date +%s) ;;
    esac
    for path in /etc/systemd/system/"$unit".d/*.conf /run/systemd/system/"$unit".d/*.conf \
      /etc/systemd/system/service.d/*.conf /run/systemd/system/service.d/*.conf \
      /etc/systemd/system.control/"$unit".d/*.conf /run/systemd/system.control/"$unit".d/*.conf; do
      [ -e "$path" ] && [ "$(stat -c %Y "$path")" -ge "$since" ] && say override "$unit $path"
    done
  done
  for program in $PROGRAMS; do
    found=$(command -v "$program") && say program "$program $found"
  done
  for key in $SYSCTLS; do
    path=/proc/sys/$(printf %s "$key" | tr . /)
    [ -r "$path" ] && say sysctl "$key $(cat "$path")"
  done
  if [ -n "$TABLE" ] && has nft; then
    say table "$TABLE $(nft list table ip "$TABLE" 2>/dev/null | grep -c 'chain\|map')"
    # Of everybody, without what maps and sets hold.
    say ruleset "$(nft -j -t list ruleset 2>/dev/null | tr -d '\n')"
  fi
  if [ -n "$LINK" ] && [ -d "/sys/class/net/$LINK" ]; then
    say link "$LINK $(cat "/sys/class/net/$LINK/flags")"
  fi
  for path in $CERTIFICATES; do
    [ -r "$path" ] && say certificate "$path $(python3 -c '
import os, ssl, sys
path, key = sys.argv[1], sys.argv[1][:-4] + ".key"
found = ssl._ssl._test_decode_cert(path)
fits = "fits"
try:
    if os.path.exists(key):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, key)
except ssl.SSLError:
    fits = "unfit"
print(int(ssl.cert_time_to_seconds(found["notAfter"])), fits)' "$path" 2>/dev/null)"
  done
  if [ -d "/opt/iacorch/$BUNDLE" ]; then
    # The archive has no dates: what has one was changed here. Dates can be set back; when a file was last touched can
    # not, and the archive's last member was unpacked after all others.
    say bundle "$BUNDLE $(find "/opt/iacorch/$BUNDLE" -type f ! -name '*.pyc' | wc -l) $([ -e "/opt/iacorch/$BUNDLE/complete" ] && echo complete)"
    find "/opt/iacorch/$BUNDLE" -type f ! -name '*.pyc' \( -newermt @1 -o -newercc "/opt/iacorch/$BUNDLE/complete" \
      -o ! -user root -o -perm /022 \) 2>/dev/null |
      head -n 20 | while read -r path; do say changed "$path"; done
  fi
fi
if [ -n "$CONTAINERS" ] && has docker; then
  if ids=$(docker ps -aq --no-trunc --filter label=iacorch.dev/pod-uid 2>/dev/null); then
    # One that is removed in between is left out; the others are still told.
    # shellcheck disable=SC2086
    say containers "$([ -n "$ids" ] && docker inspect $ids 2>/dev/null | tr -d '\n' || echo '[]')"
  fi
fi
say end 1
