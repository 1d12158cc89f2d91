"""The one door to boto3: calls in threads, retries, errors translated.

In: an operation of EC2's API by its Python name, and its parameters. Out: the answer as a dict, or a leaf of
MachineError. botocore's own retries are off: `Retries` is the one place that asks again, and it can be reasoned about.
Who calls it: `driver`, `images`, `prices`, `surroundings`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import botocore.loaders
import botocore.parsers
import botocore.session

from iacorch.infra.machines.aws.failures import LOOKED_IN, About, meaning
from iacorch.infra.machines.aws.settings import AwsSettings
from iacorch.infra.machines.errors import CloudRefused, CloudUnavailable, InvalidSpec, MissingCredentials, UnknownRegion
from iacorch.infra.machines.retries import Retries
from iacorch.kit import limits

NOBODY = About()


class Ec2:
    """EC2 of one account in one region."""

    def __init__(self, client: Any, retries: Retries) -> None:
        self._client = client
        self._retries = retries

    @property
    def clock(self) -> Any:
        return self._retries.clock

    async def call(self, operation: str, *, about: About = NOBODY, **parameters: Any) -> dict[str, Any]:
        """One answer. Raises a leaf of MachineError."""
        return await self._retries.run(lambda: asyncio.to_thread(self._once, operation, about, parameters))

    async def pages(self, operation: str, key: str, *, about: About = NOBODY, **parameters: Any) -> list[Any]:
        """All items under `key` of a paged answer; each page is asked for again by itself."""
        items: list[Any] = []
        following: dict[str, Any] = {}
        while True:
            page = await self.call(operation, about=about, **parameters, **following)
            items += page.get(key) or []
            if not page.get("NextToken"):
                return items
            following = {"NextToken": page["NextToken"]}

    async def aclose(self) -> None:
        await asyncio.to_thread(self._client.close)

    def _once(self, operation: str, about: About, parameters: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return dict(getattr(self._client, operation)(**parameters))
        except botocore.exceptions.ClientError as error:
            found = error.response.get("Error", {})
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            code, message = str(found.get("Code", "")), str(found.get("Message", ""))
            raise meaning(operation, code, message, status=status, about=about) from error
        except (botocore.exceptions.NoCredentialsError, botocore.exceptions.PartialCredentialsError) as error:
            raise MissingCredentials("aws", looked_in=LOOKED_IN) from error
        except botocore.exceptions.ParamValidationError as error:
            raise InvalidSpec("spec", str(error)) from error
        except (botocore.exceptions.HTTPClientError, botocore.parsers.ResponseParserError) as error:
            # Nobody answered, or the answer broke off: it may have been carried out.
            raise CloudUnavailable(operation, str(error)) from error
        except botocore.exceptions.BotoCoreError as error:
            raise CloudRefused(operation, code=type(error).__name__, message=str(error)) from error


@functools.cache
def _loader() -> Any:
    """botocore's data files, read once: half a second for each client otherwise."""
    return botocore.loaders.create_loader()


def _session(settings: AwsSettings) -> boto3.Session:
    inner = botocore.session.Session()
    inner.register_component("data_loader", _loader())
    return boto3.Session(profile_name=settings.profile or None, region_name=settings.region, botocore_session=inner)


@functools.cache
def _regions() -> frozenset[str]:
    """All that boto3 knows of; a second of reading, once."""
    session = boto3.Session(region_name="us-east-1")
    partitions = session.get_available_partitions()
    return frozenset(name for partition in partitions for name in session.get_available_regions("ec2", partition))


def opened(settings: AwsSettings, retries: Retries) -> Ec2:
    """A client. Blocks for a moment: boto3 reads its data files. Raises UnknownRegion, MissingCredentials."""
    config = botocore.config.Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=limits.CLOUD_CONNECT_SECONDS,
        read_timeout=limits.CLOUD_CALL_SECONDS,
        user_agent_extra="iacorch",
    )
    try:
        session = _session(settings)
        if settings.region not in (known := _regions()):
            raise UnknownRegion(settings.region, known=known)
        if session.get_credentials() is None:
            raise MissingCredentials("aws", looked_in=LOOKED_IN)
        return Ec2(session.client("ec2", endpoint_url=settings.endpoint_url or None, config=config), retries)
    except botocore.exceptions.ProfileNotFound as error:
        raise MissingCredentials("aws", looked_in=LOOKED_IN, found=str(error)) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise InvalidSpec("settings", str(error)) from error
