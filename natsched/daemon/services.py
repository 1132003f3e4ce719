"""What a replica is made of, put together: each service once, with what it needs of the others."""

from collections.abc import Awaitable, Callable, Iterator
from importlib.metadata import version

from natsched.clock import ServerClock
from natsched.core.zones import tzdata_version
from natsched.daemon.agenda import Agenda
from natsched.daemon.books import Books
from natsched.daemon.claiming import Claimer
from natsched.daemon.controlling import Notes
from natsched.daemon.dispatching import Dispatcher
from natsched.daemon.events import Observer
from natsched.daemon.executing import Executor
from natsched.daemon.keeping import Keeper
from natsched.daemon.leasing import Leaseholder
from natsched.daemon.listening import Listener
from natsched.daemon.options import ReplicaOptions
from natsched.daemon.reconciling import Reconciler
from natsched.daemon.settling import Settler
from natsched.daemon.timekeeping import Timekeeper
from natsched.daemon.webhooks import Courier, Poster
from natsched.ports import Backend
from natsched.protocol.chaining import Chains
from natsched.targets.finding import Targets
from natsched.targets.lines import LineKeeper
from natsched.targets.registry import Registry


class Services:
    """The services of one replica."""

    def __init__(
        self,
        backend: Backend,
        clock: ServerClock,
        options: ReplicaOptions,
        registry: Registry,
        chains: Chains,
        random: Callable[[], int],
        observe: Observer,
        *,
        poster: Poster,
    ) -> None:
        self.agenda = Agenda(clock)
        self.keeper = keeper = Keeper(clock, ack_wait=options.ack_wait)
        self.timekeeper = Timekeeper(backend, clock, every=options.sample_every.total_seconds())
        self.leaseholder = lease = Leaseholder(
            backend.locks,
            clock,
            replica=options.name,
            ttl=options.lease_ttl,
            about=lambda: _about(options, self.claimer),
            random=random,
        )
        self.reconciler = Reconciler(backend, clock, options, lease, chains, observe)
        self.targets = Targets(registry, options.targets, backend.messages)
        self.notes = Notes(backend.locks, clock)
        self.lines = LineKeeper(clock.now, limit=options.log_limit)
        executor = Executor(
            self.targets,
            clock,
            lease,
            self.notes,
            self.lines,
            observe,
            options=options,
            is_primary=lambda: self.reconciler.is_primary,
        )
        self.books = books = Books(backend, clock, options)
        self.claimer = claimer = Claimer(backend, clock, options, keeper, lease, executor, books, observe)
        self.listener = Listener(backend, clock, lease, claimer, replica=options.name)
        settler = Settler(backend.locks, books, chains, observe)
        self.dispatcher = Dispatcher(backend, clock, self.agenda, keeper, lease, claimer, settler, observe)
        self.courier = Courier(backend, clock, options.webhooks, poster, observe, ack_wait=options.ack_wait)

    def lasting(self) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        """Return what goes on from the lease to its end, by what it does."""
        yield "keep the time", self.timekeeper.run
        yield "keep the deliveries", self.keeper.run
        yield "pay what is owed", self.books.debts.run
        yield "write what runs say", self.notes.run
        yield "announce", self.books.announcements.run
        yield "deliver notices", self.courier.run


def _about(options: ReplicaOptions, claimer: Claimer) -> dict[str, object]:
    """Return what a replica's lease says of it."""
    return {
        "replica": options.name,
        "queues": dict(options.queues),
        "running": {name: places.taken for name, places in claimer.places().items()},
        "natsched": version("natsched"),
        "tzdata": tzdata_version(),
    }
