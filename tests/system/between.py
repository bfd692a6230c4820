"""What stands between the planes in a test: Unix-socket proxies that pass bytes on, hold them back, or cut the line."""

import asyncio
import os
import threading

PASS, HOLD, CUT = "pass", "hold", "cut"


class Link:
    """One socket of one control plane, as one data plane sees it."""

    def __init__(self, proxy, path, target):
        self.proxy, self.path, self.target = proxy, path, target
        self.mode = PASS
        self.open = asyncio.Event()
        self.open.set()
        self.writers = set()

    async def listen(self):
        self.server = await asyncio.start_unix_server(self._serve, self.path)
        os.chmod(self.path, 0o666)

    async def _serve(self, reader, writer):
        await self.open.wait()
        try:
            if self.mode == CUT:
                raise ConnectionRefusedError
            far_reader, far_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        self.writers |= {writer, far_writer}
        try:
            await asyncio.gather(self._pump(reader, far_writer), self._pump(far_reader, writer))
        finally:
            self.writers -= {writer, far_writer}

    async def _pump(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def set(self, mode):
        self.mode = mode
        if mode == HOLD:
            self.open.clear()
            return
        self.open.set()
        if mode == CUT:
            for writer in list(self.writers):
                writer.transport.abort()


class Proxy:
    """Links, and the thread that runs them."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def link(self, path, target):
        made = Link(self, str(path), str(target))
        asyncio.run_coroutine_threadsafe(made.listen(), self.loop).result(10)
        return made

    def set(self, links, mode):
        async def now():
            for link in links:
                link.set(mode)
        asyncio.run_coroutine_threadsafe(now(), self.loop).result(10)

    def close(self):
        async def end():
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()
