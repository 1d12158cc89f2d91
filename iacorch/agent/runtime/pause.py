"""The sandbox's process: a program of 180 bytes that waits to be told to end, assembled here.

A sandbox needs a process that holds its namespaces open, on nodes that reach no registry and share no files. So the
image is made on the node, from this module: an ELF header, one program header, and code that
  1. ignores SIGCHLD, so that the kernel reaps orphans when containers share the sandbox's process namespace;
  2. blocks SIGINT and SIGTERM (PID 1 is not sent signals that it neither handles nor blocks);
  3. waits for one of them with rt_sigtimedwait, and exits with status 0.

`image_layer` is called by the Docker runtime, which imports it under `IMAGE` when it is not there.
"""

from __future__ import annotations

import io
import struct
import tarfile
from typing import Final

from iacorch.errors import RuntimeFailed

IMAGE: Final = "iacorch/pause:1"
PATH: Final = "pause"

_BASE: Final = 0x400000
_HEADERS: Final = 64 + 56
_MACHINES: Final = {"amd64": 0x3E, "arm64": 0xB7}

# struct kernel_sigaction {handler = SIG_IGN (1), flags = 0, restorer = 0, mask = 0}; the set {SIGINT, SIGTERM} = 0x4002
_AMD64: Final = bytes.fromhex(
    "31d2"  # xor edx, edx          no old action, no timeout, all the way down
    "52 52 52"  # push rdx x3           mask, restorer, flags
    "6a01"  # push 1                SIG_IGN
    "6a08 415a"  # push 8; pop r10       size of a signal set
    "6a11 5f"  # push 17; pop rdi      SIGCHLD
    "4889e6"  # mov rsi, rsp
    "6a0d 58 0f05"  # push 13; pop rax; syscall     rt_sigaction
    "6802400000"  # push 0x4002
    "4889e6"  # mov rsi, rsp
    "31ff"  # xor edi, edi          SIG_BLOCK
    "6a0e 58 0f05"  # push 14; pop rax; syscall     rt_sigprocmask
    "4889e7"  # mov rdi, rsp    <-+
    "31f6"  # xor esi, esi      |
    "b880000000 0f05"  # mov eax, 128; syscall         rt_sigtimedwait
    "85c0"  # test eax, eax     |
    "78f0"  # js              --+   interrupted: wait again
    "31ff"  # xor edi, edi
    "6a3c 58 0f05"  # push 60; pop rax; syscall     exit
)


def _words(*instructions: int) -> bytes:
    return struct.pack(f"<{len(instructions)}I", *instructions)


_ARM64: Final = _words(
    0xD10083FF,  # sub sp, sp, #32        struct kernel_sigaction
    0xD2800020,  # mov x0, #1             SIG_IGN
    0xA9007FE0,  # stp x0, xzr, [sp]
    0xA9017FFF,  # stp xzr, xzr, [sp, #16]
    0xD2800220,  # mov x0, #17            SIGCHLD
    0x910003E1,  # mov x1, sp
    0xD2800002,  # mov x2, #0
    0xD2800103,  # mov x3, #8
    0xD28010C8,  # mov x8, #134           rt_sigaction
    0xD4000001,  # svc #0
    0xD2880040,  # mov x0, #0x4002
    0xF90003E0,  # str x0, [sp]
    0xD2800000,  # mov x0, #0             SIG_BLOCK
    0x910003E1,  # mov x1, sp
    0xD28010E8,  # mov x8, #135           rt_sigprocmask
    0xD4000001,  # svc #0
    0x910003E0,  # mov x0, sp         <-+
    0xD2800001,  # mov x1, #0           |
    0xD2800002,  # mov x2, #0           |
    0xD2800103,  # mov x3, #8           |
    0xD2801128,  # mov x8, #137         | rt_sigtimedwait
    0xD4000001,  # svc #0               |
    0xB7FFFF40,  # tbnz x0, #63, -24  --+ interrupted: wait again
    0xD2800000,  # mov x0, #0
    0xD2800BA8,  # mov x8, #93            exit
    0xD4000001,  # svc #0
)


def program(architecture: str) -> bytes:
    """The whole executable for `amd64` or `arm64`. Raises RuntimeFailed for any other."""
    machine = _MACHINES.get(architecture)
    if machine is None:
        raise RuntimeFailed(
            f"no sandbox program for the architecture {architecture!r}",
            operation="build the sandbox image",
            hint=f"nodes may be {' or '.join(_MACHINES)}",
        )
    code = _AMD64 if architecture == "amd64" else _ARM64
    size = _HEADERS + len(code)
    # 64-bit, little endian, version 1, System V; an executable with one program header right behind this one
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, _BASE + _HEADERS, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    # PT_LOAD, readable and executable: the whole file at _BASE
    header += struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)
    return header + code


def image_layer(architecture: str) -> bytes:
    """The image's one layer as a tar archive, the same bytes every time."""
    executable = program(architecture)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        entry = tarfile.TarInfo(PATH)
        entry.size, entry.mode = len(executable), 0o755
        tar.addfile(entry, io.BytesIO(executable))
    return archive.getvalue()
