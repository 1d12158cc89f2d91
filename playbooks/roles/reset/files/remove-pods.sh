# Removes what the agent made for its pods: containers, links, rules. Other containers are left alone.
if command -v docker >/dev/null && containers=$(timeout 60 docker ps -aq --filter label=iacorch.dev/node) && [ -n "$containers" ]; then
  # shellcheck disable=SC2086 # a list of IDs
  timeout 120 docker rm -f -v $containers >/dev/null && echo "removed containers"
fi
for link in $(ls /sys/class/net); do
  case $link in
  iac[0-9]* | iac-* | iacp* | iacvx*) command -v ip >/dev/null && ip link delete "$link" 2>/dev/null && echo "removed link $link" ;;
  esac
done
# The ranges of pods that this node had: what is not a pod's was answered at once.
if command -v ip >/dev/null; then
  ip -4 route show | sed -n 's/^unreachable \([^ ]*\) proto static metric 1000000.*/\1/p' | while read -r range; do
    ip -4 route delete unreachable "$range" metric 1000000 && echo "removed route $range"
  done
fi
if command -v nft >/dev/null; then
  nft list tables 2>/dev/null | while read -r _ family table; do
    case $table in iacorch*) nft delete table "$family" "$table" && echo "removed rules $family $table" ;; esac
  done
fi
if command -v iptables >/dev/null; then
  iptables -w 5 -S FORWARD 2>/dev/null | grep -e '--comment iacorch ' | sed 's/^-A/-D/' | while read -r rule; do
    # shellcheck disable=SC2086 # a rule's words
    iptables -w 5 $rule && echo "removed $rule"
  done
fi
exit 0
