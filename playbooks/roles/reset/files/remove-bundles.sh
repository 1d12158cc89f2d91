# Removes each bundle under /opt/iacorch that no unit of ours names any more.
systemctl daemon-reload
for bundle in /opt/iacorch/*/; do
  [ -d "$bundle" ] || continue
  if ! grep -qs "$bundle" /etc/systemd/system/iacorch*.service; then
    rm -rf "$bundle" && echo "removed $bundle"
  fi
done
rmdir /opt/iacorch /etc/iacorch 2>/dev/null
exit 0
