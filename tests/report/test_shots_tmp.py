import base64, pathlib, time
import pytest
from genmat.report import render


def test_shots(report, browser):
    out = pathlib.Path("/tmp/shots")
    out.mkdir(exist_ok=True)
    t = time.time()
    text = render(report)
    print("render", time.time() - t, len(text) / 1e6)
    p = out / "report.html"
    p.write_text(text)
    for name, w, dark in (("dark", 1280, True),):
        t = time.time()
        browser.open(p, width=w, dark=dark)
        print(name, "open", time.time() - t)
        n = browser.evaluate("document.querySelectorAll('.plot[data-plot]:not([hidden])').length")
        h = browser.evaluate("document.documentElement.scrollHeight")
        sw = browser.evaluate("document.documentElement.scrollWidth")
        browser.evaluate(
            """(async()=>{for(let y=0;y<document.documentElement.scrollHeight;y+=500){scrollTo({top:y,behavior:'instant'});await new Promise(r=>setTimeout(r,40));}scrollTo({top:0,behavior:'instant'});await new Promise(r=>setTimeout(r,300));})()"""
        )
        h = browser.evaluate("document.documentElement.scrollHeight")
        print(
            name,
            n,
            "rendered",
            browser.evaluate("document.documentElement.dataset.plots"),
            h,
            "scrollWidth",
            sw,
            browser.complaints()[:5],
            browser.requests(),
        )
        if name == "light":
            browser.evaluate(
                'document.querySelector("svg[data-crystal]").dispatchEvent(new KeyboardEvent("keydown",{key:"ArrowRight",bubbles:true}))'
            )
            browser.evaluate("document.querySelector('#best details').open=true")
        shot = browser.send(
            "Page.captureScreenshot",
            format="png",
            captureBeyondViewport=True,
            clip={
                "x": 0,
                "y": 0,
                "width": w,
                "height": browser.evaluate("document.documentElement.scrollHeight"),
                "scale": 1,
            },
        )
        (out / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
        print(browser.complaints())

    browser.emulate(width=900, height=900, dark=False)
    browser.send(
        "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "light"}]
    )
    browser.evaluate("dispatchEvent(new Event('beforeprint'))")
    browser.evaluate("new Promise(r=>setTimeout(r,3000))")
    shot = browser.send(
        "Page.captureScreenshot",
        format="png",
        captureBeyondViewport=True,
        clip={
            "x": 0,
            "y": 0,
            "width": 900,
            "height": browser.evaluate("document.documentElement.scrollHeight"),
            "scale": 0.5,
        },
    )
    (out / "print.png").write_bytes(base64.b64decode(shot["data"]))
