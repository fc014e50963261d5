"""The kinds of faults.  Each applies one, waits, and leaves the system whole again."""
import asyncio
import contextlib
import os
import signal

from fault_proxy import DOWN, UP


class Faults:
    """Draws faults and applies them.

    kinds    a function for each name
    random   decides everything, so that a seed gives the same sequence
    """

    def __init__(self, system, random):
        self._system = system
        self._random = random
        self.kinds = {"kill_control": self._kill_control, "kill_worker": self._kill_worker,
                      "kill_both": self._kill_both, "terminate_control": self._terminate_control,
                      "stop_control": self._stop_control, "stop_worker": self._stop_worker,
                      "terminate_worker": self._terminate_worker, "restart_workers": self._restart,
                      "reload": self._reload, "clock": self._clock}
        for link in ("clients", "publishers", "workers"):
            for name in ("cut", "hold_up", "hold_down", "hold_both", "delay", "lose_up",
                         "lose_down", "middle"):
                self.kinds[f"{link}_{name}"] = self._link_fault(link, name)
        if system.engine.disk is not None:
            self.kinds["full_disk"] = self._full_disk
        if system.engine.redis is not None:
            self.kinds["kill_redis"] = self._kill_redis
            self.kinds["stop_redis"] = self._stop_redis

    def draw(self):
        """Returns the name of the next fault: processes and links alike often."""
        groups = [[name for name in self.kinds if name.split("_")[0] in of] for of in (
            ("kill",), ("terminate", "restart"), ("stop",), ("clock", "full", "reload"),
            ("clients",), ("publishers",), ("workers",))]
        return self._random.choice(self._random.choice(groups))

    async def apply(self, name):
        await self.kinds[name]()

    # ------------------------------------------------------------------------- processes

    def _signal(self, pid, number):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def _worker(self):
        at = self._random.random()
        workers = self._system.workers()
        return workers[int(at * len(workers))] if workers else None

    async def _away(self, longest=1.0):
        await asyncio.sleep(self._random.uniform(0, longest))

    async def _kill_control(self):
        self._system.server.kill()
        await self._away()
        await self._system.start_control()

    async def _kill_worker(self):
        worker = self._worker()
        if worker is not None:
            self._signal(worker, signal.SIGKILL)
        await self._away()
        await self._system.ready()

    async def _kill_both(self):
        self._system.server.kill()
        for worker in self._system.workers():
            self._signal(worker, signal.SIGKILL)
        await self._away()
        await self._system.start_control()

    async def _terminate_control(self):
        code = await self._system.in_thread(self._system.server.terminate)
        if code != 0:
            raise AssertionError(f"control ended with {code} after SIGTERM")
        await self._system.start_control()

    async def _terminate_worker(self):
        worker = self._worker()
        if worker is not None:
            self._signal(worker, signal.SIGTERM)
        await self._away()
        await self._system.ready()

    async def _stop_control(self):
        self._signal(self._system.server.process.pid, signal.SIGSTOP)
        await self._away(5)
        self._signal(self._system.server.process.pid, signal.SIGCONT)
        await self._system.ready()

    async def _stop_worker(self):
        """Some of them for so long that control kills them."""
        worker = self._worker()
        if worker is not None:
            self._signal(worker, signal.SIGSTOP)
            await self._away(8)
            self._signal(worker, signal.SIGCONT)
        await self._system.ready()

    async def _kill_redis(self):
        redis = self._system.engine.redis
        await self._system.in_thread(redis.kill)
        await self._away(3.0)
        await self._system.in_thread(redis.start)

    async def _stop_redis(self):
        """Also for longer than control waits for an answer."""
        pid = self._system.engine.redis.process.pid
        self._signal(pid, signal.SIGSTOP)
        try:
            await self._away(7.0)
        finally:
            self._signal(pid, signal.SIGCONT)

    # ------------------------------------------------------------------------- operations

    async def _restart(self):
        await self._system.in_thread(self._system.server.wsctl, "--timeout", "60s", "workers",
                                     "restart")
        await self._system.ready()

    async def _reload(self):
        """Other limits each time; the same listeners."""
        server = self._system.server
        server.config["services"][0]["max_channels_per_session"] = self._random.randint(100, 200)
        server.write_config()
        server.process.send_signal(signal.SIGHUP)
        await self._away()

    async def _clock(self):
        """The wall clock is set, forth or back."""
        self._system.clocks.step_wall(self._random.uniform(-60, 60))
        await self._away()

    async def _full_disk(self):
        file = self._system.engine.disk / "filler"
        seconds = self._random.uniform(0.5, 3)

        def fill():
            with contextlib.suppress(OSError), open(file, "wb", buffering=0) as out:
                while True:
                    out.write(bytes(1 << 20))
        try:
            await self._system.in_thread(fill)
            await asyncio.sleep(seconds)
        finally:
            file.unlink(missing_ok=True)

    # ------------------------------------------------------------------------- links

    def _link_fault(self, link, name):
        async def apply():
            proxy = self._system.proxies[link]
            longest = 4 if link != "workers" else 6  # over the three missed heartbeats
            seconds = self._random.uniform(0.2, longest)
            both = {"up": (UP,), "down": (DOWN,), "both": (UP, DOWN)}
            if name == "cut":
                proxy.cut()
            elif name == "delay":
                proxy.delay(self._random.uniform(0.01, 0.2))
            elif name == "middle":
                proxy.cut_in_the_middle()
            elif name.startswith("hold"):
                proxy.hold(*both[name.split("_")[1]])
            else:
                proxy.lose(*both[name.split("_")[1]])
            try:
                await asyncio.sleep(seconds)
            finally:
                proxy.heal()
            if link == "workers":
                await self._system.ready()
        return apply
