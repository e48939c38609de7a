"""What a sandbox has not: network, threads, processes. What asks for it is told what to write instead, for good."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

from ._failure import Final, unsupported

_SIDE_BY_SIDE = "what runs side by side are tasks: `task.submit(…)`, `task.map(…)`"


class Denied(Final, PermissionError):
    """The network is not granted. It is an `OSError`, which libraries know, and stays final when they wrap it."""

    def __str__(self) -> str:
        return self.message


def denied(host: Any = None) -> Denied:
    """Returns the failure of what wants to reach a host. The words are the real host's own."""
    name = host.decode(errors="replace") if isinstance(host, bytes) else host if isinstance(host, str) else None
    place = f": `{name}` cannot be reached from a sandbox" if name else ""
    message = f"the network is not granted to this run{place}; only secrets and variables can be granted today"
    return Denied("sandbox.denied", message, {"host": name} if name else None)


def _to(address: Any) -> Denied:
    return denied(address[0] if isinstance(address, tuple) and address else None)


def _no_network(module: Any) -> None:
    def looked_up(host: Any = None, *args: Any, **kwargs: Any) -> Any:
        raise denied(host)

    def connected(address: Any = None, *args: Any, **kwargs: Any) -> Any:
        raise _to(address)

    class Socket(module.socket):  # type: ignore[misc]
        """A socket that reaches nobody: the host is not asked for one."""

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

        def connect(self, address: Any) -> None:
            raise _to(address)

        def connect_ex(self, address: Any) -> int:
            raise _to(address)

        def sendto(self, data: Any, *args: Any) -> int:
            raise _to(args[-1] if args else None)

        def bind(self, address: Any) -> None:
            raise denied()

        listen = accept = send = sendall = recv = recvfrom = sendfile = bind  # type: ignore[assignment]

        def setsockopt(self, *args: Any) -> None: ...

        def settimeout(self, value: Any) -> None: ...

        def setblocking(self, flag: bool) -> None: ...

        def close(self) -> None: ...

        def __repr__(self) -> str:
            return "<a socket that reaches nobody>"

    module.socket = module.SocketType = Socket
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo"):
        setattr(module, name, looked_up)
    for name in ("create_connection", "create_server", "socketpair", "fromfd"):
        setattr(module, name, connected)


def _no_threads(module: Any) -> None:
    def start(self: Any) -> None:
        raise unsupported(f"a sandbox has no threads: {_SIDE_BY_SIDE}")

    waits = module.Condition.wait

    def wait(self: Any, timeout: float | None = None) -> bool:
        # So do an Event, a Semaphore, a Barrier and a Queue.
        if timeout is None:
            raise unsupported(
                f"what is waited for never comes: another thread would bring it, and a sandbox has none; {_SIDE_BY_SIDE}"
            )
        return bool(waits(self, timeout))

    module.Thread.start = start
    module.Condition.wait = wait


def _no_thread(module: Any) -> None:
    def start(*_: Any, **__: Any) -> int:
        raise unsupported(f"a sandbox has no threads: {_SIDE_BY_SIDE}")

    module.start_new_thread = module.start_new = module.start_joinable_thread = start


def _no_programs(module: Any) -> None:
    def start(self: Any, args: Any = None, *_: Any, **__: Any) -> None:
        program = args if isinstance(args, str) else next(iter(args), None) if isinstance(args, (list, tuple)) else None
        name = f"`{program}` cannot be started: " if program else ""
        raise unsupported(
            f"{name}a sandbox runs no other programs; write it in Python, or run it where the flow's results are used", OSError
        )

    module.Popen.__init__ = start
    module.Popen.__del__ = lambda self: None


def _no_shell(module: Any) -> None:
    def start(*_: Any, **__: Any) -> Any:
        raise unsupported("a sandbox runs no other programs, and has no shell", OSError)

    def ended(status: int) -> None:
        # The host is told no more than that it was not 0.
        raise SystemExit(status)

    module.system = module.popen = start
    module._exit = ended


def _no_processes(module: Any) -> None:
    class Process:
        """Another process, which there is not."""

        def __init__(self, *_: Any, **__: Any) -> None:
            start()

    def start(*_: Any, **__: Any) -> Any:
        raise unsupported(f"a sandbox has one process: {_SIDE_BY_SIDE}")

    module.Process = Process
    for name in (
        "Pool",
        "Queue",
        "SimpleQueue",
        "JoinableQueue",
        "Manager",
        "Lock",
        "RLock",
        "Semaphore",
        "Event",
        "Value",
        "Array",
        "Pipe",
    ):
        setattr(module, name, start)


def _no_process_pool(module: Any) -> None:
    class ProcessPoolExecutor:
        """Other processes, which there are not."""

        def __init__(self, *_: Any, **__: Any) -> None:
            raise unsupported(f"a sandbox has one process: {_SIDE_BY_SIDE}")

    module.ProcessPoolExecutor = ProcessPoolExecutor


def _loops(module: Any) -> None:
    """`asyncio.run` works, on a loop that knows nothing but time."""
    from asyncio import base_events, events

    class Clock:
        """In the place of a selector: nobody is there to wait for."""

        def select(self, timeout: float | None) -> list[Any]:
            if timeout is None:
                raise unsupported("every coroutine waits for another: nothing else can wake one in a sandbox")
            if timeout > 0:
                time.sleep(timeout)
            return []

        def close(self) -> None: ...

    class Loop(base_events.BaseEventLoop):
        """Callbacks, and timers."""

        def __init__(self) -> None:
            super().__init__()
            self._selector = Clock()

        def _process_events(self, event_list: Any) -> None: ...

        def _write_to_self(self) -> None: ...

        async def getaddrinfo(self, host: Any, *_: Any, **__: Any) -> Any:
            raise denied(host)

        async def create_connection(self, protocol_factory: Any, host: Any = None, *_: Any, **__: Any) -> Any:
            raise denied(host)

        async def sock_connect(self, sock: Any, address: Any) -> None:
            raise _to(address)

        async def create_server(self, *_: Any, **__: Any) -> Any:
            raise denied()

        async def create_datagram_endpoint(self, *_: Any, **__: Any) -> Any:
            raise denied()

        def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
            raise unsupported(f"a sandbox has no threads: call the function itself; {_SIDE_BY_SIDE}")

        async def subprocess_exec(self, *_: Any, **__: Any) -> Any:
            raise unsupported("a sandbox runs no other programs", OSError)

        subprocess_shell = subprocess_exec

        def add_signal_handler(self, *_: Any) -> None:
            raise NotImplementedError

        async def shutdown_default_executor(self, timeout: Any = None) -> None: ...

    def made(*_: Any) -> Any:
        return Loop()

    module.new_event_loop = events.new_event_loop = made
    module.SelectorEventLoop = module.DefaultEventLoop = Loop
    runners = sys.modules.get("asyncio.runners")
    if runners is not None:
        runners.events.new_event_loop = made  # type: ignore[attr-defined]


# By the module that has it.
PATCHES: dict[str, Callable[[Any], None]] = {
    "_thread": _no_thread,
    "asyncio": _loops,
    "concurrent.futures": _no_process_pool,
    "multiprocessing": _no_processes,
    "os": _no_shell,
    "socket": _no_network,
    "subprocess": _no_programs,
    "threading": _no_threads,
}


def install(after: dict[str, Callable[[Any], None]]) -> None:
    """Changes what is loaded, and whatever is loaded later."""
    after.update(PATCHES)
    for name, patch in PATCHES.items():
        if name in sys.modules:
            patch(sys.modules[name])
