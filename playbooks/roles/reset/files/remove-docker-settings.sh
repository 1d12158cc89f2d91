# Takes away Docker's settings if they are ours: with them a container of anybody else would have no network.
settings=/etc/docker/daemon.json
if grep -qs 'iacorch.dev/managed=true' "$settings"; then
  # The Engine was ours alone, if nobody has a container on it: then so were its images.
  if [ -z "$(timeout 60 docker ps -aq)" ]; then timeout 300 docker image prune --all --force >/dev/null; fi
  rm -f "$settings" && echo "removed $settings"
  # In its own time: nothing on this machine waits for it.
  systemctl --no-block try-restart docker.service
fi
exit 0
