"""
Replicas that start and look while the Secret of their authority is deleted or replaced, on a real API server.

At every moment the API server trusts what each replica serves, and in the end no replica writes any more.
"""

from __future__ import annotations

import asyncio
import ssl

import pytest

from tests.certificates.test_certificates import shake_hands, trusting
from tests.registration.installation import LOOK, Installation
from webhook.registration.bundles import certificates


async def test_a_deleted_secret_is_put_back_by_those_that_run(installation: Installation) -> None:
    bundle = installation.replicas[0].identity.ca_bundle
    before = installation.generations()
    installation.delete_secret()
    await installation.look()
    newcomer = await installation.start()
    assert newcomer.identity.ca_bundle == bundle
    assert installation.generations() == before
    await installation.check_at_rest()


async def test_a_replica_that_starts_first_makes_new_authorities_and_all_change_to_them(
    installation: Installation,
) -> None:
    """What certs/README.md once advised: the old and the new replicas then forced their own caBundle by turns."""
    old = set(certificates(installation.stored()))
    installation.delete_secret()
    newcomer = await installation.start()
    assert old.isdisjoint(certificates(newcomer.identity.ca_bundle))
    installation.check()
    await installation.look(4)
    assert {replica.identity.ca_bundle for replica in installation.replicas} == {installation.stored()}
    await installation.look(6)
    await installation.check_at_rest()


async def test_an_authority_that_is_replaced_by_hand_signs_everywhere_within_four_looks(
    installation: Installation,
) -> None:
    new = installation.replace_secret()
    installation.check()
    await installation.look(4)
    for replica in installation.replicas:
        shake_hands(replica.identity.context, trusting(new), name=installation.name)
    await installation.look(6)
    await installation.check_at_rest()


async def test_replicas_that_start_right_after_a_replacement_are_trusted_beside_those_that_have_not_looked(
    installation: Installation,
) -> None:
    installation.replace_secret()
    await installation.start()
    installation.check()
    await installation.look(10)
    await installation.check_at_rest()


async def test_a_replica_that_slept_through_all_of_it_changes_at_its_first_look(installation: Installation) -> None:
    sleeper = installation.replicas.pop()
    new = installation.replace_secret()
    await installation.look(10)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(sleeper.identity.context, trusting(new), name=installation.name)
    before = installation.generations()
    await sleeper.registration.register()
    installation.replicas.append(sleeper)
    installation.check()
    assert installation.generations() == before


async def test_all_of_them_looking_at_once_agree(installation: Installation) -> None:
    installation.delete_secret()
    await asyncio.gather(*(installation.start() for _ in range(4)))
    installation.check()
    for _ in range(10):
        installation.clock.passed += LOOK
        await asyncio.gather(*(replica.registration.register() for replica in installation.replicas))
        installation.check()
    assert len({replica.identity.ca_bundle for replica in installation.replicas}) == 1
    await installation.check_at_rest()


async def test_the_one_that_follows_signs_at_the_second_look_however_often_it_is_asked_for(
    installation: Installation,
) -> None:
    """It has been in every caBundle all the time; what follows it is added meanwhile."""
    for _ in range(3):
        await installation.look(3)
        following = certificates(installation.stored())[1]
        await installation.promote()
        await installation.look()
        assert certificates(installation.stored())[0] == following
        await installation.look()
        for replica in installation.replicas:
            shake_hands(replica.identity.context, trusting(following), name=installation.name)
    await installation.look(8)
    await installation.check_at_rest()
