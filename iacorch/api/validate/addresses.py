"""IP addresses, in the words of Kubernetes."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address

from iacorch.api.validate.problems import Problems


def check(problems: Problems, path: str, text: str) -> None:
    """An address of either family."""
    try:
        ip_address(text)
    except ValueError:
        problems.invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")


def check_endpoint(problems: Problems, path: str, text: str, family: str) -> None:
    """An address that traffic may be led to: of the `family` IPv4 or IPv6, and not one that means another host."""
    try:
        address = IPv4Address(text) if family == "IPv4" else IPv6Address(text)
    except AddressValueError:
        problems.invalid(path, text, f"must be a valid {family} address")
        return
    if address.is_unspecified:
        problems.invalid(path, text, "may not be unspecified (0.0.0.0 or ::)")
    if address.is_loopback:
        problems.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        problems.invalid(path, text, "may not be in the link-local range (169.254.0.0/16,fe80::/10)")
    if address.is_multicast:
        problems.invalid(path, text, "may not be in the multicast range (224.0.0.0/4, ff00::/8)")
