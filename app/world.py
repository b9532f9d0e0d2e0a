"""The dependencies of every use case: database, clock, entropy, settings, keys, password hasher."""

from dataclasses import dataclass, field, replace
from typing import Self

from app.background.wakeup import Wakeup
from app.base.clock import Clock
from app.base.entropy import Entropy
from app.config.settings import Settings
from app.db.database import Database, PendingWrite
from app.db.dialect import Timeouts
from app.security.passwords import PasswordHasher
from app.security.sealing import LookupKey, Sealer
from app.security.signing import SignerCache


@dataclass(frozen=True)
class Keys:
    """Keys for encryption, for lookup digests and for signatures."""

    sealer: Sealer
    lookup: LookupKey
    signing: SignerCache


@dataclass(frozen=True)
class World:
    """What use cases need from outside. The wake-ups notify workers of new rows before their next poll."""

    db: Database
    clock: Clock
    entropy: Entropy
    settings: Settings
    keys: Keys
    hasher: PasswordHasher
    mail_wakeup: Wakeup = field(default_factory=Wakeup)
    event_wakeup: Wakeup = field(default_factory=Wakeup)

    @classmethod
    def of(cls, settings: Settings, *, clock: Clock | None = None, entropy: Entropy | None = None) -> Self:
        """Create the world from the settings. Opens no connection yet."""
        entropy = entropy or Entropy()
        return cls(
            db=Database.open(settings.database_url, settings.database_pool, _read_timeouts(settings)),
            clock=clock or Clock(),
            entropy=entropy,
            settings=settings,
            keys=Keys(Sealer(settings.encryption_ring(), entropy), LookupKey(settings.lookup_key_bytes()), SignerCache()),
            hasher=PasswordHasher.of(settings),
        )

    def for_request(self, pending: PendingWrite) -> Self:
        """Return this world for one request, whose write is committed together with its stored response."""
        return replace(self, db=replace(self.db, pending=pending))


def _read_timeouts(settings: Settings) -> Timeouts:
    return Timeouts(settings.database_connect_timeout, settings.database_pool_timeout, settings.database_statement_timeout)
