"""The page in Chromium, opened from the disk: what it shows is compared with PyTorch."""

import numpy as np
import pytest
import torch
from PIL import Image

from autoencoders.latent.paths import linear, spherical

pytest.importorskip("selenium", reason="needs the package selenium")

PIXEL = 1 / 255


@pytest.fixture(scope="module")
def run(make_run):
    return make_run("model=cvae")


@pytest.fixture(scope="module")
def opened(start_browser, open_page, run):
    return open_page(start_browser(), run, count=60)


@pytest.fixture
def page(opened):
    """The page in its first state, with the pointer outside of the map."""
    opened.js("explorer.preview = null; explorer.select(explorer.content.latents.center.slice()); explorer.ends = {}")
    opened.js("document.querySelector('#class-0').click()")
    opened.shown()
    return opened


@pytest.fixture
def actions(page):
    from selenium.webdriver import ActionChains

    return ActionChains(page.browser, duration=20)


def test_the_page_states_the_difference_from_pytorch(page):
    text = page.find("#check").text
    assert text.startswith("Largest difference of this page's decoder from PyTorch on 10 codes: ")
    assert 0 < page.js("return explorer.difference") < 1e-5


def test_the_pointer_decodes_the_point_below_it(page, actions):
    before, _ = page.check_pixels()
    width = page.js("return document.querySelector('#map').clientWidth")
    limit, center = page.js("return [explorer.map.limit, explorer.map.center]")
    actions.move_to_element_with_offset(page.find("#map"), 60, -40).perform()
    code, _ = page.check_pixels()
    scale = limit / (width / 2 - 30)  # the margin of the map is 30 pixels wide
    plane = page.js("return explorer.content.plane")
    point = np.array(plane["axes"]) @ (code - plane["origin"])
    np.testing.assert_allclose(point - center, [60 * scale, 40 * scale], atol=1.5 * scale)
    outside = np.linalg.svd(np.array(plane["axes"]))[2][2:]
    np.testing.assert_allclose(outside @ code, outside @ before, atol=1e-6)  # the map moves in its plane
    actions.move_to_element(page.find("h1")).perform()
    np.testing.assert_allclose(page.check_pixels()[0], before)  # the pointer only previews
    actions.move_to_element_with_offset(page.find("#map"), 60, -40).click().move_to_element(page.find("h1")).perform()
    np.testing.assert_allclose(page.check_pixels()[0], code)  # a click selects


def test_the_nearest_codes_are_those_of_an_exhaustive_search(page, actions, run):
    actions.move_to_element_with_offset(page.find("#map"), -50, 30).perform()
    code, _ = page.check_pixels()
    codes = np.array(page.js("return explorer.codes"))
    expected = np.linalg.norm(codes - code, axis=1).argsort()[:6]
    assert page.js("return explorer.neighbors.map((n) => n.index)") == expected.tolist()
    names = page.js("return [...document.querySelectorAll('#neighbors small')].map((e) => e.textContent)")
    rows = torch.linspace(0, len(run.codes("val").z) - 1, 60).round().long()
    assert names == [str(c) for c in run.annotations("val").classes[rows][expected].tolist()]
    actions.move_to_element(page.find("h1")).click().perform()
    page.find("#neighbors button").click()
    np.testing.assert_allclose(page.check_pixels()[0], codes[page.js("return explorer.neighbors[0].index")])


def test_sliders_change_one_latent_and_a_double_click_resets_it(page, actions):
    from selenium.webdriver.common.keys import Keys

    latent = page.js("return explorer.content.latents.order[0]")
    slider = page.find(f"#latent-{latent}")
    slider.send_keys(Keys.ARROW_RIGHT * 5)
    code, _ = page.check_pixels()
    low, high = (page.js(f"return explorer.content.latents.{name}[{latent}]") for name in ("low", "high"))
    assert code[latent] == pytest.approx((high - low) / 20, rel=1e-3)
    assert np.abs(np.delete(code, latent)).max() == 0
    actions.double_click(slider).perform()
    assert np.abs(page.check_pixels()[0]).max() == 0
    slider.send_keys(Keys.ARROW_LEFT * 3, Keys.DELETE)
    assert np.abs(page.check_pixels()[0]).max() == 0
    kinds = page.js(
        "return [...document.querySelectorAll('#latents small')].map((e) => Number(e.textContent.split(' ')[1]))"
    )
    assert kinds == sorted(kinds, reverse=True)


def test_class_buttons_change_the_label(page, run):
    _, label, before = page.shown()
    assert label == 0
    page.find('label[for="class-7"]').click()
    _, label = page.check_pixels()
    assert label == 7
    assert np.abs(page.shown()[2] - before).max() > 2 * PIXEL  # the classes are different for this decoder


def test_the_keyboard_moves_the_point(page):
    from selenium.webdriver.common.keys import Keys

    area = page.find("#map")
    area.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP)
    code, _ = page.check_pixels()
    plane, limit = page.js("return explorer.content.plane"), page.js("return explorer.map.limit")
    moved = np.array(plane["axes"]) @ code  # the code was 0
    np.testing.assert_allclose(moved, [0.08 * limit, 0.04 * limit], rtol=1e-4)
    area.send_keys(Keys.ENTER)
    codes = np.array(page.js("return explorer.codes"))
    np.testing.assert_allclose(page.check_pixels()[0], codes[np.linalg.norm(codes - code, axis=1).argmin()])
    area.send_keys(Keys.HOME)
    assert np.abs(page.check_pixels()[0]).max() == 0
    page.wait("return document.querySelector('#status').textContent.startsWith('Map point')")  # read aloud


def test_a_path_is_that_of_python(page, run):
    a, b = torch.tensor([1.0, -0.5, 2.0, 0.3]), torch.tensor([-0.4, 1.5, 0.2, -1.0])
    for name, path in (("spherical", spherical), ("linear", linear)):
        page.js("explorer.ends = { a: arguments[0], b: arguments[1] };", a.tolist(), b.tolist())
        page.js("document.querySelector('#path').value = arguments[0]", name)
        for t in (0.0, 0.3, 1.0):
            page.js("document.querySelector('#position').value = arguments[0]; explorer.walk()", t)
            code, _ = page.check_pixels()
            np.testing.assert_allclose(code, path(a[None], b[None], torch.tensor([t]))[0, 0], atol=1e-6)


def test_a_path_is_played_as_an_animation(page):
    from selenium.webdriver.common.keys import Keys

    page.find("#map").send_keys("a", Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.NULL, "b")
    page.js("document.querySelector('#position').value = 0")
    page.find("#play").click()
    positions = set()
    for _ in range(200):
        positions.add(page.js("return document.querySelector('#position').value"))
        if len(positions) > 4:
            break
    assert page.find("#play").text == "Stop"
    page.find("#play").click()
    page.check_pixels()
    assert len(positions) > 4
    assert page.find("#play").get_attribute("aria-pressed") == "false"


def test_samples_follow_the_prior_and_the_temperature(page):
    draws = "return Array.from({ length: 4000 }, () => sampleCode(explorer.content.density, arguments[0]))"
    codes = np.array(page.js(draws, 0.5))
    np.testing.assert_allclose(codes.mean(0), 0, atol=0.05)
    np.testing.assert_allclose(np.cov(codes.T), 0.25 * np.eye(4), atol=0.03)
    page.find("#sample").click()
    assert np.abs(page.check_pixels()[0]).max() > 0


def test_samples_follow_a_mixture_and_a_prior_per_class(page):
    mixture = {"weights": [0.25, 0.75], "mean": [[-5, 0], [5, 1]], "std": [[1, 0.5], [2, 1]], "byClass": False}
    draws = "return Array.from({ length: 4000 }, () => sampleCode({ components: arguments[0] }, arguments[1], 0))"
    codes = np.array(page.js(draws, mixture, 1))
    assert (codes[:, 0] > 0).mean() == pytest.approx(0.75, abs=0.03)
    right = codes[codes[:, 0] > 0]
    np.testing.assert_allclose(right.mean(0), [5, 1], atol=0.2)
    np.testing.assert_allclose(np.cov(right.T), [[4, 0], [0, 1]], atol=0.4)
    codes = np.array(page.js(draws, {**mixture, "byClass": True}, 0.5))  # the class is 0
    np.testing.assert_allclose(codes.mean(0), [-5, 0], atol=0.1)
    np.testing.assert_allclose(codes.std(0), [0.5, 0.25], atol=0.05)


def test_an_own_picture_is_encoded(page, run, tmp_path):
    batch = run.batch("val", 3)
    Image.fromarray((batch.target[2, 0].numpy() * 255).round().astype("uint8")).save(tmp_path / "mine.png")
    page.find('label[for="class-3"]').click()
    page.find("#picture").send_keys(str(tmp_path / "mine.png"))
    page.wait("return document.querySelector('#picture-message').textContent.startsWith('mine.png: mean')")
    code, label = page.check_pixels()
    assert label == 3
    np.testing.assert_allclose(code, run.encode(batch.target[2:3], torch.tensor([3]))[0], atol=1e-4)
    (tmp_path / "text.png").write_text("no picture")
    page.find("#picture").send_keys(str(tmp_path / "text.png"))
    page.wait("return document.querySelector('#picture-message').textContent.includes('cannot be read')")


def test_a_photo_of_the_dataset_is_cropped_first(page, run, tmp_path):
    batch = run.batch("val", 1)
    photo = np.random.default_rng(0).integers(0, 255, (21, 21), "uint8")
    photo[6:14, 6:14] = (batch.target[0, 0].numpy() * 255).round()
    Image.fromarray(photo).save(tmp_path / "photo.png")
    page.js("explorer.content.photoCrop = [21, 8]")
    page.find("#picture").send_keys(str(tmp_path / "photo.png"))
    page.wait("return document.querySelector('#picture-message').textContent.startsWith('photo.png: mean')")
    page.js("explorer.content.photoCrop = null")
    code, label = page.check_pixels()
    np.testing.assert_allclose(code, run.encode(batch.target, torch.tensor([label]))[0], atol=1e-4)


def test_a_picture_of_another_shape_is_padded_as_in_training(page, run, tmp_path):
    from autoencoders.data.image_io import read_image

    values = np.full((8, 4), 40, "uint8")
    values[2:6, 1:3] = 200
    Image.fromarray(values).save(tmp_path / "tall.png")  # 8 x 4 pixels are not scaled
    page.js("explorer.content.fit = 'pad'")
    page.find("#picture").send_keys(str(tmp_path / "tall.png"))
    page.wait("return document.querySelector('#picture-message').textContent.startsWith('tall.png: mean')")
    page.js("explorer.content.fit = 'crop'")
    code, label = page.check_pixels()
    image = torch.from_numpy(read_image(tmp_path / "tall.png", (8, 8), color=False, fit="pad"))[None].float() / 255
    assert (image[0, 0, 0] * 255).tolist() == [40] * 8
    np.testing.assert_allclose(code, run.encode(image, torch.tensor([label]))[0], atol=1e-4)


def test_no_request_leaves_the_page(page, actions):
    actions.move_to_element(page.find("#map")).click().perform()
    page.find("#sample").click()
    page.shown()
    attempt = "try { await fetch('https://example.org/'); return 'sent'; } catch { return 'refused'; }"
    script = f"const done = arguments[0]; (async () => {{ {attempt} }})().then(done)"
    assert page.browser.execute_async_script(script) == "refused"
    requests = [url for url in page.requests() if not url.startswith(("blob:", "data:", "https://example.org/"))]
    assert set(requests) <= {page.browser.current_url}  # the file itself
    errors = [entry["message"] for entry in page.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [e for e in errors if "example.org" not in e] == []
    assert any("Content Security Policy" in e for e in errors)


def test_controls_have_accessible_names(page):
    nodes = page.browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    found = {}
    for node in nodes:
        properties = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
        if properties.get("focusable") and not node["ignored"] and node["role"]["value"] != "RootWebArea":
            found.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
    assert all(all(names) for names in found.values()), found
    assert {"application", "button", "radio", "slider"} <= set(found)
    assert "7" in found["radio"]


@pytest.mark.parametrize(("width", "dark"), [(320, True), (390, False)])
def test_a_phone_shows_the_page_and_reads_touches(start_browser, open_page, run, width, dark):
    page = open_page(start_browser(width, 780, dark, touch=True), run, count=60)
    assert page.js("return document.documentElement.scrollWidth") <= width
    background = page.js("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == dark
    box = page.js(
        "const b = document.querySelector('#map').getBoundingClientRect(); return [b.x, b.y, b.width, innerHeight]"
    )
    image = page.js("return document.querySelector('#image').getBoundingClientRect().bottom")
    assert image < box[1] + box[2] / 2 < box[3]  # the image and at least half of the map are visible at the same time
    touch = {"type": "touchStart", "touchPoints": [{"x": box[0] + box[2] * 0.6, "y": box[1] + box[2] * 0.45}]}
    page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
    first, _ = page.check_pixels()
    touch = {"type": "touchMove", "touchPoints": [{"x": box[0] + box[2] * 0.4, "y": box[1] + box[2] * 0.4}]}
    page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", touch)
    page.browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    second, _ = page.check_pixels()
    assert np.abs(first).max() > 0
    assert np.abs(second - first).max() > 0


@pytest.mark.slow
def test_several_runs_are_selected_by_name(start_browser, open_page, make_run, run):
    other = make_run("model=ae", "latent_dim=2")
    page = open_page(start_browser(), other, run, count=60)
    page.check_pixels()
    assert "Gaussian fitted to" in page.find("#density").text
    assert page.js("return document.querySelectorAll('input[name=class]').length") == 0
    page.js("const s = document.querySelector('#run'); s.value = '1'; s.dispatchEvent(new Event('change'))")
    page.wait("return explorer.content === explorer.contents[1] && !!explorer.neighbors && explorer.label === 0")
    page.run = run
    page.check_pixels()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["model=vae", "data.size=28"], 16),
        (["model=cvae", "data=cartoons", "data.size=64", "data.count=200", "data.batch_size=32",
          "data.attributes=[mouth,glasses]", "net=residual", "latent_dim=32"], 100),
        (["model=vae", "data=cartoons", "data.size=64", "data.count=200", "data.batch_size=32",
          "net=pyramid", "latent_dim=32"], 100),
    ],
)  # fmt: skip
def test_the_time_of_a_decoding(start_browser, open_page, make_run, words, limit):
    """Milliseconds with the rest of the page: less than a frame for the MLP, less than 100 for nets for 64 x 64 pixels.

    The lower quartile is compared, because other processes make single decodings slower.
    """
    page = open_page(start_browser(), make_run(*words), count=60)
    page.js(
        "for (const input of document.querySelectorAll('[id^=attribute-]')) {"
        "input.value = input.max; input.dispatchEvent(new Event('input')); }"
    )
    page.check_pixels()
    script = """
        const done = arguments[0], times = [];
        (async () => {
          for (let i = 0; i < 40; i++) {
            const start = performance.now();
            explorer.select(explorer.codes[i % explorer.codes.length].slice());
            await explorer.decoding;
            times.push(performance.now() - start);
          }
          done(times.sort((a, b) => a - b)[10]);
        })();"""
    assert page.browser.execute_async_script(script) < limit
    page.check_pixels()
