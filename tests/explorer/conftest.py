"""Fixtures: pages of untrained and trained runs, and a browser that opens them from the disk."""

import json
import shutil
import time

import numpy as np
import pytest
import torch

from autoencoders.config import instantiate
from autoencoders.runs.run import Run

BROWSERS, DRIVERS = ("chromium", "chromium-browser", "google-chrome"), ("chromedriver",)


@pytest.fixture(scope="session")
def make_run(compose_into, tmp_path_factory):
    """`make_run("model=vae", ...)`: an untrained run on digits of 8 x 8 pixels, or on other data."""

    def make(*overrides):
        pytest.importorskip("onnxscript", reason="needs the extra export")
        pytest.importorskip("onnxruntime", reason="needs the extra export")
        folder = tmp_path_factory.mktemp("run")
        config = compose_into("data=digits", "data.size=8", "latent_dim=4", *overrides, folder=folder)
        data = instantiate.build(config["data"])
        data.prepare_data()
        data.setup()
        torch.manual_seed(0)
        model = instantiate.build_model(config, data.shape, data.context)
        with torch.no_grad():
            model.initialize(data.images("train"))
            for parameter in model.parameters():  # an untrained decoder would give nearly the same image for all codes
                parameter.add_(0.05 * torch.randn_like(parameter))
        return Run(folder, config, model.eval(), data).prepare()

    return make


def find_program(names):
    return next((path for name in names if (path := shutil.which(name))), None)


@pytest.fixture(scope="session")
def start_browser():
    """`start_browser(width, height, dark=..., touch=...)`: a headless Chromium. The test is skipped without one."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs the package selenium")
    binary, driver = find_program(BROWSERS), find_program(DRIVERS)
    if binary is None or driver is None:
        pytest.skip("needs Chromium and ChromeDriver")
    started = []

    def start(width=1280, height=900, dark=False, touch=False):
        options = webdriver.ChromeOptions()
        options.binary_location = binary
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={width},{height}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if touch:
            metrics = {"width": width, "height": height, "pixelRatio": 2, "touch": True}
            options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
        browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
        started.append(browser)
        media = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": media})
        browser.set_script_timeout(60)
        return browser

    yield start
    for browser in started:
        browser.quit()


class Page:
    """An explorer page in a browser.

    Args:
        browser: browser of selenium.
        url: address of the page.
        run: run whose decoder the page contains.
    """

    def __init__(self, browser, url, run):
        self.browser, self.run = browser, run
        browser.get_log("performance")  # forget earlier pages
        browser.get(url)
        self.wait("return explorer.difference !== undefined || !!document.querySelector('#progress.bad')")

    def js(self, script, *arguments):
        return self.browser.execute_script(script, *arguments)

    def wait(self, script, seconds=60):
        end = time.monotonic() + seconds
        while not self.js(script):
            assert time.monotonic() < end, self.js("return document.body.innerText")
            time.sleep(0.05)

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def shown(self):
        """Wait until the page has decoded the newest code. Return the code, the label and the pixels (C, H, W)."""
        self.wait("return !explorer.decoding && !explorer.dirty && !explorer.playing")
        code, label = self.js("return [Array.from(explorer.shown), explorer.label]")
        flat = self.js(
            "const c = document.querySelector('#image');"
            "return Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
        )
        channels, height, width = self.run.model.shape
        pixels = np.array(flat, float).reshape(height, width, 4)[..., :channels].transpose(2, 0, 1)
        return np.array(code), label, pixels / 255

    def check_pixels(self):
        """Compare the pixels on the page with those of PyTorch. Return the code and the label of the page."""
        code, label, pixels = self.shown()
        y = None if label is None else torch.tensor([label])
        expected = self.run.decode(torch.tensor(code, dtype=torch.float32)[None], y)[0].clamp(0, 1).numpy()
        assert np.abs(pixels - expected).max() <= 2 / 255
        return code, label

    def requests(self):
        """Return the addresses of all requests since the page was opened."""
        messages = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@pytest.fixture(scope="session")
def open_url():
    """`open_url(browser, url, run)`: open a page that is served, whose decoder is that of a run."""
    return Page


@pytest.fixture(scope="session")
def open_page(tmp_path_factory):
    """`open_page(browser, run, ...)`: write the page of runs and open it; the first run is compared with PyTorch."""
    from autoencoders.explorer.content import collect_run
    from autoencoders.explorer.page import render_page

    collected = {}

    def open_file(browser, *runs, count):
        for run in runs:
            if (run.path, count) not in collected:
                collected[run.path, count] = collect_run(run, count=count)
        file = tmp_path_factory.mktemp("page") / "explorer.html"
        file.write_text(render_page([collected[run.path, count] for run in runs], "Explorer"), encoding="utf-8")
        return Page(browser, file.as_uri(), runs[0])

    return open_file
