"""A program that opens servers and makes connections, and obeys line by line over its standard streams.

One JSON object a line in, one out. `netns.py` starts it in network namespaces, many times: it imports little.
"""

from __future__ import annotations

import json
import socket
import sys
import threading

PATIENCE_SECONDS = 2.0


class Pod:
    """Servers answer `NAME PEER-ADDRESS`; connections say what they were answered."""

    def serve(self, name: str, port: int) -> bool:
        tcp = socket.create_server(("0.0.0.0", port), backlog=64)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", port))
        threading.Thread(target=self._tcp, args=(name, tcp), daemon=True).start()
        threading.Thread(target=self._udp, args=(name, udp), daemon=True).start()
        return True

    def _tcp(self, name: str, server: socket.socket) -> None:
        while True:
            connection, peer = server.accept()
            with connection:
                connection.sendall(f"{name} {peer[0]}".encode())

    def _udp(self, name: str, server: socket.socket) -> None:
        while True:
            _, peer = server.recvfrom(100)
            server.sendto(f"{name} {peer[0]}".encode(), peer)

    def tcp(
        self, address: str, port: int, count: int = 1, from_port: int = 0, patience: float = PATIENCE_SECONDS
    ) -> list[str]:
        answers = []
        for _ in range(count):
            try:
                here = ("0.0.0.0", from_port) if from_port else None
                with socket.create_connection((address, port), timeout=patience, source_address=here) as connection:
                    answers.append(connection.recv(100).decode())
            except OSError as error:
                answers.append(type(error).__name__)
        return answers

    def udp(self, address: str, port: int, count: int = 1, from_port: int = 0) -> list[str]:
        answers = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(PATIENCE_SECONDS)
            client.bind(("0.0.0.0", from_port))
            client.connect((address, port))
            for _ in range(count):
                try:
                    client.send(b"?")
                    answers.append(client.recv(100).decode())
                except OSError as error:
                    answers.append(type(error).__name__)
        return answers

    def dns(self, question: str, kind: str = "A", address: str = "10.96.0.10", over_tcp: bool = False) -> list[str]:
        from dnslib import RCODE, DNSRecord  # here, because most pods ask for no names and start faster without

        query = DNSRecord.question(question, kind)
        try:
            packet = query.send(address, 53, tcp=over_tcp, timeout=PATIENCE_SECONDS)
        except OSError as error:
            return [type(error).__name__]
        reply = DNSRecord.parse(packet)
        return [str(RCODE.get(reply.header.rcode)), *(str(record.rdata) for record in reply.rr)]


def run_pod() -> None:
    pod = Pod()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        sys.stdout.write(json.dumps(getattr(pod, request.pop("do"))(**request)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    run_pod()
