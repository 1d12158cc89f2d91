"""Writes iacorch/infra/machines/aws/data/offerings.json: EC2's instance types with their prices on demand.

In: the price list that Apache Libcloud publishes in its package (its own collection of EC2's public price lists) and
the sizes that moto publishes; both are development inputs. Out: families that people run clusters on, cores, MiB of
memory, architecture, and millionths of a dollar per hour by region, with the date of the prices. Run it by hand after
either package was updated: .venv/bin/python scripts/generate_aws_offerings.py
"""

from __future__ import annotations

import gzip
import importlib.resources
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent.parent / "iacorch/infra/machines/aws/data/offerings.json"
FAMILIES = re.compile(r"(t3|t3a|t4g|[mcr](5|6a|6g|6i|7a|7g|7i|8g))\.(?!metal)[a-z0-9]+")
LARGEST_CORES = 32


def main() -> None:
    prices = json.loads((importlib.resources.files("libcloud") / "data/pricing.json").read_text())
    packed = (importlib.resources.files("moto") / "ec2/resources/instance_types.json.gz").read_bytes()
    types: dict[str, Any] = {}
    for name, described in sorted(json.loads(gzip.decompress(packed)).items()):
        by_region = {
            region: round(price * 1_000_000)
            for region, price in sorted(prices["compute"]["ec2_linux"].get(name, {}).items())
            if price > 0 and region.count("-") == 2
        }
        cores = described["VCpuInfo"]["DefaultVCpus"]
        if not FAMILIES.fullmatch(name) or not by_region or cores > LARGEST_CORES:
            continue
        arch = "arm64" if "arm64" in described["ProcessorInfo"]["SupportedArchitectures"] else "amd64"
        types[name] = [cores, described["MemoryInfo"]["SizeInMiB"], arch, by_region]
    document = {
        "source": "Apache Libcloud's pricing.json (ec2_linux)",
        "date": datetime.fromtimestamp(prices["updated"], UTC).date().isoformat(),
        "columns": ["cores", "memory MiB", "architecture", "millionths of a dollar per hour by region"],
        "types": types,
    }
    lines = ",\n".join(f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in types.items())
    head = json.dumps({**document, "types": {}})[:-2]
    TARGET.write_text(f"{head}\n{lines}\n}}}}\n")
    print(f"{len(types)} types, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
