"""A headless Chromium, spoken to through a pipe in the DevTools protocol: no driver, no port, no network."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
#: A browser that is silent for so long is taken for dead.
PATIENCE_SECONDS = 300
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def chromium() -> str | None:
    """Where a Chromium is, if there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page of one browser with a profile of its own. evaluate: a Content-Security-Policy does not bind it.

    console: what the browser complained of; requests: the addresses that it asked for; both since they were cleared.
    """

    def __init__(self, profile: Path) -> None:
        read, self._out = os.pipe()
        self._in, write = os.pipe()

        def ends() -> None:  # the protocol's places: it reads from 3 and writes to 4
            own = os.dup(read), os.dup(write)
            os.dup2(own[0], 3)
            os.dup2(own[1], 4)

        self._process = subprocess.Popen(
            [chromium() or "chromium", *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=ends,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._buffer = b""
        self._number = 0
        self._loaded = False
        self.console: list[str] = []
        self.requests: list[str] = []
        self._session: str | None = None
        page = next(t for t in self.call("Target.getTargets")["targetInfos"] if t["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser."""
        with suppress(OSError, RuntimeError):
            self.call("Browser.close")
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def call(self, method: str, **parameters: object) -> dict:
        """A command of the protocol, and what it answers."""
        self._number += 1
        session = {} if self._session is None or method.startswith("Browser.") else {"sessionId": self._session}
        message = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]

    def open(self, path: Path, fragment: str = "", width: int = 1300, height: int = 1000) -> None:
        """Show a file, at a place in it."""
        self.resize(width, height)
        self._visit("about:blank")  # another place in the same file would load nothing
        self._visit(f"{path.resolve().as_uri()}{f'#{fragment}' if fragment else ''}")

    def _visit(self, url: str) -> None:
        """Load it to its end: what is asked for while a page takes the place of another may never be answered."""
        self._loaded = False
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._receive()

    def resize(self, width: int, height: int = 1000) -> None:
        """The size of the window in CSS pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def emulate(self, media: str = "", scheme: str = "light", scripts: bool = True) -> None:
        """Paper or screen, dark or light, with or without scripts (from the next page on)."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    def evaluate(self, expression: str) -> object:
        """The value of an expression in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"]["exception"].get("description"))
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """One key, down and up."""
        facts = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": "\r"} if key == "Enter" else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def move(self, x: float, y: float) -> None:
        """The mouse to a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def picture(self, out: Path) -> None:
        """What is seen, as PNG."""
        out.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _receive(self) -> dict:
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], PATIENCE_SECONDS)[0]:
                raise RuntimeError(f"the browser has said nothing for {PATIENCE_SECONDS} s")
            read = os.read(self._in, 1 << 20)
            if not read:
                raise RuntimeError("the browser has ended")
            self._buffer += read
        line, _, self._buffer = self._buffer.partition(b"\0")
        message = json.loads(line)
        method, facts = message.get("method"), message.get("params", {})
        self._loaded |= method == "Page.loadEventFired"
        if method == "Network.requestWillBeSent":
            self.requests.append(facts["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Log.entryAdded"):
            self.console.append(json.dumps(facts))
        return message
