# What a machine is, as `key=value` lines. Runs as root on any POSIX shell, changes nothing, needs nothing installed.
# Read by facts.py, which knows every key.
has() { command -v "$1" >/dev/null 2>&1; }
say() { printf '%s=%s\n' "$1" "$2"; }

say clock "$(date +%s.%N)"
say hostname "$(hostname 2>/dev/null || uname -n)"
say kernel "$(uname -r)"
say arch "$(uname -m)"
if [ -r /etc/os-release ]; then
  . /etc/os-release
  say os_id "$ID"; say os_like "${ID_LIKE:-}"; say os_version "${VERSION_ID:-}"; say os_name "${PRETTY_NAME:-$ID}"
fi
[ -d /run/systemd/system ] && say systemd 1

for python in python3 python3.14 python3.13 python3.12 python3.11; do
  if has "$python" && version=$("$python" -c 'import ssl, ctypes, sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
    say python "$version $(command -v "$python")"
  fi
done

say cpus "$(grep -c '^processor' /proc/cpuinfo)"
say memory_kib "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
# The nearest directory that exists is on the file system that the data will be on.
for path in /opt /var/lib /var/lib/docker; do
  [ -d "$path" ] && df -Pk "$path" 2>/dev/null | {
    read -r _
    read -r _ _ _ free _ && say free_kib "$path $free"
  }
done

for table in tcp tcp6 udp udp6; do
  [ -r "/proc/net/$table" ] || continue
  # Listening: state 0A in the TCP tables, 07 in the UDP tables. The address ends in the port in hexadecimal.
  case $table in tcp*) state=0A ;; *) state=07 ;; esac
  while read -r _ local _ found _; do
    [ "$found" = "$state" ] && say port "${table%6} ${local##*:}"
  done <"/proc/net/$table"
done | sort -u

if [ -e /sys/class/net/iac0 ]; then say pod_network 1; fi
for address in $(hostname -I 2>/dev/null); do say address "$address"; done
# Link, network and mask in hexadecimal; neither the default route nor what the agent made.
while read -r link network _ _ _ _ _ mask _; do
  case $link in Iface | '*' | iac*) continue ;; esac
  [ "$network" = 00000000 ] || say route "$link $network $mask"
done </proc/net/route
# Where there are no modules to look through (a container), the kernel may still load them when they are first used.
modules=/lib/modules/$(uname -r)
for feature in vxlan nf_tables veth overlay; do
  if [ -d "/sys/module/$feature" ] || grep -qw "$feature" /proc/filesystems ||
    grep -q "/$feature\.ko" "$modules/modules.builtin" 2>/dev/null ||
    { has modprobe && modprobe -n -q "$feature" 2>/dev/null; }; then
    continue
  fi
  [ -d "$modules" ] && has modprobe && say missing "$feature"
done

if has dockerd; then say docker "$(dockerd --version 2>/dev/null | sed -n 's/^Docker version \([^, ]*\).*/\1/p')"; fi
if [ -e /etc/docker/daemon.json ]; then
  if grep -q 'iacorch.dev/managed=true' /etc/docker/daemon.json; then say docker_config ours; else say docker_config foreign; fi
fi
# An Engine without settings may still be somebody's: what they have on it lives by Docker's own defaults.
if [ ! -e /etc/docker/daemon.json ] && has docker && timeout 20 docker version >/dev/null 2>&1; then
  ours=$(docker ps -aq --filter label=iacorch.dev/node | sort)
  if [ "$(docker ps -aq | sort)" != "$ours" ] || [ -n "$(docker network ls -q --filter type=custom)" ]; then
    say docker_in_use 1
  fi
fi
has nft && say nft 1
# Where the kernel confines containers by AppArmor, the Engine starts none without the program that loads profiles.
[ -d /sys/kernel/security/apparmor ] && grep -q Y /sys/module/apparmor/parameters/enabled 2>/dev/null &&
  ! has apparmor_parser && say lacks_apparmor_parser 1

for unit in iacorchd iacorch-agent; do
  file=/etc/systemd/system/$unit.service owner=/etc/iacorch/$unit.owner
  # Who put it there is known also when somebody took the rest away.
  [ -e "$owner" ] && say owner "$unit $(cat "$owner" 2>/dev/null)"
  [ -e "$file" ] || continue
  say unit "$unit $(systemctl is-active "$unit" 2>/dev/null)"
  say bundle "$unit $(sed -n 's|^ExecStart=.*/opt/iacorch/\([^/]*\)/.*|\1|p' "$file")"
done

for file in /etc/iacorch/* /etc/systemd/system/iacorchd.service /etc/systemd/system/iacorch-agent.service \
  /etc/docker/daemon.json; do
  [ -f "$file" ] && [ "$(stat -c %u:%g "$file")" = 0:0 ] &&
    say file "$file $(stat -c %a "$file") $(sha256sum "$file" | cut -d ' ' -f 1)"
done
for unit in iacorchd.service iacorch-agent.service docker.service; do
  state=$(systemctl is-active "$unit" 2>/dev/null)
  [ "$state" = active ] && say service "$unit $state $(systemctl is-enabled "$unit" 2>/dev/null)"
done
for bundle in /opt/iacorch/*/complete; do
  [ -e "$bundle" ] || continue
  bundle=${bundle%/complete}
  say complete "${bundle##*/}"
done
for images in /var/lib/iacorch-agent/images/*; do
  [ -e "$images" ] && say images "${images##*/}"
done
say end 1
